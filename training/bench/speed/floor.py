"""What the core can do at best: the matrix products of the encoder and nothing else."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

from models.reading import Tokenise, batches_by_length
from training.bench.speed.contender import Contender

#: A product of matrices (M, K) and (K, N).
Shape = tuple[int, int, int]


def floors(config: Any, tokenise: Tokenise, max_length: int) -> list[Contender]:
    """The products in bfloat16, and with those by weights in 8 bits.

    Args:
        config: of the encoder: width, layers, heads and inner width.
        tokenise: texts to token ids.
        max_length: tokens of a text that are read.
    """
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    heads = config.num_attention_heads
    by_weights = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
    # operands that are made once: a floor has nothing to fetch
    made: dict[tuple[str, tuple[int, ...]], torch.Tensor] = {}

    def operand(kind: str, *shape: int) -> torch.Tensor:
        if (kind, shape) not in made:
            dtype = torch.int8 if kind == "int8" else torch.bfloat16
            made[kind, shape] = torch.ones(shape, dtype=dtype)
        return made[kind, shape]

    @cache
    def batches(texts: tuple[str, ...]) -> list[tuple[int, int]]:
        lengths = [min(len(ids), max_length) for ids in tokenise(texts)]
        return [(len(rows), max(lengths[row] for row in rows)) for rows in batches_by_length(lengths)]

    def run(texts: Sequence[str], product: Callable[[Shape], object]) -> None:
        for size, longest in batches(tuple(texts)):
            for _ in range(layers):
                for taken, given in by_weights:
                    product((size * longest, taken, given))
                keys = operand("bf16", size * heads, width // heads, longest)
                queries = operand("bf16", size * heads, longest, width // heads)
                torch.bmm(torch.bmm(queries, keys), queries)

    def bf16(shape: Shape) -> object:
        return operand("bf16", shape[0], shape[1]) @ operand("bf16", shape[1], shape[2])

    def int8(shape: Shape) -> object:
        return torch._int_mm(operand("int8", shape[0], shape[1]), operand("int8", shape[1], shape[2]))

    return [
        Contender("floor, bfloat16", "floor", lambda texts: run(texts, bf16)),
        Contender("floor, 8 bits", "floor", lambda texts: run(texts, int8)),
    ]
