"""A network in an ONNX file, computed by ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class OnnxNetwork:
    """Computes what the network that the file was written from computes, apart from rounding.

    ONNX Runtime joins convolutions with what follows them, so a small network takes a third of the time of torch
    (`benchmarks/README.md`).

    Args:
        file: a file that ``pipeline.operations.model.onnx_file.export`` wrote.
        code_length: K, the number of bits.
        threads: number of threads that compute.

    Attributes:
        batch_size: maximum number of inputs that are computed at a time.

    Raises:
        Exception: ONNX Runtime can't read the file; it has many types.
    """

    batch_size = 64

    def __init__(self, file: Path, code_length: int, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait would otherwise keep the cores busy that decode the next pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.code_length = code_length

    def outputs(self, arrays: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Raw outputs u (n, K) float32 of what the network reads, (n, S, S, 3) uint8 or (n, D) float32."""
        starts = range(0, len(arrays), self.batch_size)
        parts = [self._session.run(["u"], {self._input: arrays[at : at + self.batch_size]})[0] for at in starts]
        return np.concatenate(parts)
