"""ONNX Runtime and OpenVINO, which both read an encoder as a file of ONNX."""

from pathlib import Path
from typing import Any

from models.runtimes.runtime import Ids, Name, Vectors

#: The encoder in float32, and with weights in 8 bits.
WHOLE, SMALL = "encoder.onnx", "encoder-int8.onnx"
#: Tokens of a batch: with few of them what goes from layer to layer stays in a core's cache.
_TOKENS = 512


class OnnxRuntime:
    """ONNX Runtime with ``threads`` threads, which do not spin while they wait."""

    tokens = _TOKENS

    def __init__(self, name: Name, file: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.name = name
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def vectors(self, ids: Ids, mask: Ids) -> Vectors:
        """Vectors (B, H) for token ids and mask of shape (B, T)."""
        found: Vectors = self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return found


class OpenVinoRuntime:
    """OpenVINO with ``threads`` threads, which no core is kept for: a neighbour may be busy there."""

    tokens = _TOKENS

    def __init__(self, name: Name, file: Path, threads: int) -> None:
        import openvino

        core: Any = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if name == "openvino-bf16" else "f32",
        }
        self.name = name
        self._request = core.compile_model(core.read_model(file), "CPU", settings).create_infer_request()

    def vectors(self, ids: Ids, mask: Ids) -> Vectors:
        """Vectors (B, H) for token ids and mask of shape (B, T)."""
        # what it gives is overwritten by its next answer
        found: Vectors = self._request.infer({"input_ids": ids, "attention_mask": mask})[0].copy()
        return found
