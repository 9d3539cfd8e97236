"""Which runtime runs a model on this machine: the fastest of those admitted for it, measured once and remembered."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from models.errors import ConfigError
from models.labels import LabelSchema
from models.reading import ENCODER, EncoderReader, Heads, Tokenise, fast_tokeniser, padded, settings_of
from models.runtimes.admission import Admission
from models.runtimes.machine import cpu_has_bf16, cpu_name
from models.runtimes.memory import remembered
from models.runtimes.onnx import SMALL, WHOLE, OnnxRuntime, OpenVinoRuntime
from models.runtimes.runtime import Ids, Name, Runtime
from models.threads import free_cores

#: Sets the runtime, whatever is fastest.
VARIABLE = "FEEDBACK_RUNTIME"
_FILES: Mapping[Name, str] = {"onnx-fp32": WHOLE, "onnx-int8": SMALL, "openvino-fp32": WHOLE, "openvino-bf16": WHOLE}
_PACKAGES = ("torch", "onnxruntime", "openvino")
#: A text as customers write it, and how many of them a runtime is tried on.
_SAMPLE, _SAMPLES, _ROUNDS = "The parcel came two days late and the box was open; nobody answered my mail.", 16, 3


def load_reader(
    folder: Path, schema: LabelSchema, model_version: str, threads: int | None, wanted: str | None = None
) -> EncoderReader:
    """The transformer part in ``folder``, run by the fastest runtime admitted for it.

    Args:
        folder: what :meth:`models.transformer.TransformerModel.save` wrote; the caller has verified the files.
        schema: tasks and class order.
        model_version: of the model that it is part of.
        threads: to compute with; None for the free cores.
        wanted: the runtime, in place of the fastest; None asks the environment.

    Raises:
        ArtifactError: encoder, heads and runtimes do not fit together.
        ConfigError: the environment asks for a runtime that is not to be had.
    """
    threads = threads or free_cores()
    name = chosen(folder, model_version, threads, wanted)
    return open_reader(folder, schema, name, threads)


def chosen(folder: Path, model_version: str, threads: int, wanted: str | None = None) -> Name:
    """Which runtime the transformer part in ``folder`` is run by; see :func:`load_reader`."""
    wanted = wanted or os.environ.get(VARIABLE)
    names = check_wanted(folder, wanted)
    if wanted is None and len(names) > 1:
        # which are admitted is part of it: the rules for that may change with a version of this program
        key = json.dumps([model_version, cpu_name(), threads, *names, *map(_version, _PACKAGES)])
        wanted = remembered(key, names, lambda: fastest(folder, names, threads))
    return next(name for name in names if wanted is None or name == wanted)


def check_wanted(folder: Path, wanted: str | None) -> list[Name]:
    """The runtimes that the transformer part in ``folder`` may be run by here; ConfigError if the one that is wanted is
    not among them."""
    names = [name for name in Admission.load(folder).names if runs_here(name)]
    if wanted is not None and wanted not in names:
        raise ConfigError(
            f"runtime ({VARIABLE}): expected one of {', '.join(names)}, got {wanted!r}; "
            "others are not admitted for this model, or do not run on this machine"
        )
    return names


def open_reader(folder: Path, schema: LabelSchema, name: Name, threads: int) -> EncoderReader:
    """The transformer part in ``folder``, run by the runtime of that name, whether or not it is admitted."""
    if name.startswith("torch"):
        # imported here, so that an exported encoder runs without torch
        from models.runtimes.torch import TorchRuntime
        from models.transformer import TransformerModel

        model = TransformerModel.load(folder, schema)
        return model.reader(TorchRuntime(model.network.encoder, bf16=name == "torch-bf16", threads=threads), folder)
    settings = settings_of(folder)
    return EncoderReader(
        schema,
        fast_tokeniser(folder / ENCODER),
        Admission.load(folder).padding,
        open_exported(folder, name, threads),
        Heads.load(folder, unit_vectors=settings["unit_vectors"]),
        settings["max_length"],
        folder,
    )


def open_exported(folder: Path, name: Name, threads: int) -> Runtime:
    """A runtime of the encoder that was exported into ``folder``."""
    file = folder / _FILES[name]
    return OpenVinoRuntime(name, file, threads) if name.startswith("openvino") else OnnxRuntime(name, file, threads)


def runs_here(name: Name) -> bool:
    """Whether its package is installed, and the processor made for it."""
    package = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}[name.partition("-")[0]]
    return find_spec(package) is not None and (not name.endswith("bf16") or cpu_has_bf16())


def fastest(folder: Path, names: Sequence[Name], threads: int) -> Name:
    """Which of these runtimes takes the least time for texts of common length on this machine."""
    taken = seconds(folder, names, threads)
    return min(names, key=lambda name: taken[name])


def seconds(folder: Path, names: Sequence[Name], threads: int) -> dict[Name, float]:
    """How long each of these runtimes takes for a few texts, at best."""
    tokenise = fast_tokeniser(folder / ENCODER)
    ids, mask = _sample(tokenise, settings_of(folder)["max_length"])
    found = {}
    for name in names:
        runtime = _runtime(folder, name, threads)
        runtime.vectors(ids, mask)  # the first time everything is prepared
        found[name] = min(_took(runtime, ids, mask) for _ in range(_ROUNDS))
    return found


def _runtime(folder: Path, name: Name, threads: int) -> Runtime:
    if not name.startswith("torch"):
        return open_exported(folder, name, threads)
    from models.encoding import load_encoder
    from models.runtimes.torch import TorchRuntime

    return TorchRuntime(load_encoder(folder / ENCODER)[1].eval(), bf16=name == "torch-bf16", threads=threads)


def _sample(tokenise: Tokenise, longest: int) -> tuple[Ids, Ids]:
    return padded([ids[:longest] for ids in tokenise([_SAMPLE] * _SAMPLES)], 0)


def _took(runtime: Runtime, ids: Ids, mask: Ids) -> float:
    start = time.perf_counter()
    runtime.vectors(ids, mask)
    return time.perf_counter() - start


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
