"""The MLflow model of a trained cell: images in, packed codes out.

MLflow runs this file when it loads the model (its "models from code"), beside a copy of this library, so the model
works without the repository. Nothing of the project imports it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from pipeline.codes import pack, sign
from pipeline.encoding import device as devices
from pipeline.encoding.encode import outputs
from pipeline.encoding.network import load


class Hashing(PythonModel):  # type: ignore[misc]
    """Codes of images, as the encode stage makes them, in the precision that the network was trained with.

    It runs on CUDA where there is some. A CPU without bfloat16 instructions emulates a network that was trained with
    it and says so in a line. TensorFloat-32 is switched off in the process that loads the model.
    """

    def load_context(self, context: Any) -> None:
        about = json.loads(Path(context.artifacts["about"]).read_text(encoding="utf-8"))
        device = "cuda" if torch.cuda.is_available() else "cpu"
        section = {"device": device, "precision": about["precision"], "threads": torch.get_num_threads()}
        self.compute = devices.choose(section)
        self.size = about["image_size"]
        self.network = load(about["backbone"], about["bits"], self.compute, Path(context.artifacts["weights"]))

    # Without type hints, which MLflow would take for a schema; it has the model's signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Images (n, S, S, 3) uint8, of the size that the study stores, to codes (n, ceil(K / 8)) uint8.

        Bits are those of ``pipeline.codes.pack``: 1 is +1, the first bit is the highest of the first byte. On
        another device, or with another number of threads, an output within rounding of 0 may get the other sign.
        """
        images, size = np.asarray(model_input), self.size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3) or not len(images):
            found = f"{images.dtype} of shape {images.shape}"
            raise ValueError(f"expected images as uint8 of shape (n, {size}, {size}, 3), n at least 1; found {found}")
        rows = np.arange(len(images))
        return pack(sign(outputs(self.network, images, rows, self.compute.device).numpy()))


set_model(Hashing())
