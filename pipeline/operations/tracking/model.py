"""The MLflow model of a trained cell: it maps images to packed codes.

MLflow runs this file when it loads the model ("models from code"), together with a copy of this library, so the model
works without the repository. The project itself does not import this file.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from pipeline.codes import pack, sign
from pipeline.encoding import device as devices
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import HashNetwork, load, load_head


class Hashing(PythonModel):  # type: ignore[misc]
    """Computes codes of images as the encode stage does, in the precision that the network was trained with.

    It runs on CUDA if available. If the network was trained in bfloat16, a CPU without bfloat16 instructions emulates
    it and a line is printed about it. Loading the model switches TensorFloat-32 off in its process.
    """

    def load_context(self, context: Any) -> None:
        about = json.loads(Path(context.artifacts["about"]).read_text(encoding="utf-8"))
        device: Literal["cuda", "cpu"] = "cuda" if torch.cuda.is_available() else "cpu"
        self.compute = devices.choose(
            {
                "device": device,
                "precision": about["precision"],
                "numerics": "native",
                "threads": torch.get_num_threads(),
            }
        )
        size, weights = about["image_size"], Path(context.artifacts["weights"])
        self.network: HashNetwork
        self.shape: tuple[int, ...]
        self.kind: np.dtype[Any]
        if size is None:
            self.shape, self.kind = (about["num_features"],), np.dtype(np.float32)
            self.network = load_head(about["head"], about["num_features"], about["bits"], self.compute, weights)
        else:
            self.shape, self.kind = (size, size, 3), np.dtype(np.uint8)
            self.network = load(about["backbone"], about["bits"], self.compute, weights, about["head"])

    # No type hints: MLflow would use them as a schema, but the model has a signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Compute the packed codes of images, or of vectors if the dataset has vectors.

        Bits are packed by ``pipeline.codes.pack``: 1 is +1, and the first bit is the highest of the first byte. On
        another device, or with another number of threads, an output close to 0 may get the other sign by rounding.

        Args:
            context: not used.
            model_input: images (n, S, S, 3) uint8, where S is the study's image size and n is at least 1; or vectors
                (n, D) float32.
            params: not used.

        Returns:
            codes (n, ceil(K / 8)) uint8.

        Raises:
            ValueError: the images have another type or shape.
        """
        images, what = np.asarray(model_input), "vectors" if len(self.shape) == 1 else "images"
        if images.dtype != self.kind or images.shape[1:] != self.shape or not images.ndim or not len(images):
            shape, found = ", ".join(map(str, self.shape)), f"{images.dtype} of shape {images.shape}"
            raise ValueError(f"expected {what} as {self.kind} of shape (n, {shape}), n at least 1; found {found}")
        rows = np.arange(len(images))
        return pack(sign(outputs(self.network, images, rows, self.compute.device).numpy()))


set_model(Hashing())
