"""Chance that can be had again: each text draws its lots once, for good.

A lot is a number in [0, 1) that a keyed hash makes of the text; it depends on neither the order of items nor on who
else is among them (a "permanent random number", Ohlsson 1995). A text is in the audit if its lot is below a rate, so
it gets there with exactly that probability, and independently of every other (Poisson sampling); when the rate rises,
the audit grows and nobody leaves it.
"""

import hashlib
from typing import Literal

#: Below 2**53 every number is a float, so that lots are even.
_BITS = 53

Lot = Literal["audit", "blind", "order", "bench"]


def lot(kind: Lot, seed: int, print_of_text: str) -> float:
    """The lot in [0, 1) of a text, known by its :func:`models.text.fingerprint`; those of several kinds are
    independent of each other."""
    key = hashlib.sha256(f"{kind} {seed}".encode()).digest()
    drawn = hashlib.blake2b(print_of_text.encode(), key=key, digest_size=8).digest()
    return (int.from_bytes(drawn, "big") >> (64 - _BITS)) / (1 << _BITS)


def audit_rate(share: float, add: int, known: int, listed: int) -> float:
    """The probability, in [0, 1], with which each of ``listed`` texts is in the audit.

    After ``add`` more, so many as that and those ``known`` before are chosen of the ``listed``; the ``share`` of them
    is to be chance's: ``share * (known + add) / listed``.
    """
    return min(1.0, share * (known + add) / listed) if listed else 0.0
