"""The MLflow model of a trained cell: it maps pictures to packed codes.

MLflow runs this file when it loads the model ("models from code"), together with a copy of this library, so the model
works without the repository. The project itself does not import this file.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

from pipeline.operations.model.encoder import Encoder
from pipeline.runtime.errors import UserError

# MLflow asks for type hints, which it would use as a schema. The model has a signature.
warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method")


class Hashing(PythonModel):  # type: ignore[misc]
    """Computes codes of pictures, or of vectors if the dataset has vectors; see ``Encoder``.

    It runs on CUDA if available.
    """

    def load_context(self, context: Any) -> None:
        self.encoder = Encoder.load(Path(context.artifacts["network"]))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Compute packed codes.

        Args:
            context: not used.
            model_input: a table whose column ``image`` holds the bytes of image files; or vectors (n, D) float32.
            params: not used.

        Returns:
            codes (n, ceil(K / 8)) uint8.

        Raises:
            MlflowException: a picture can't be read, or vectors have another type or shape. A server answers with the
                message and the status 400.
        """
        try:
            if self.encoder.image_size is None:
                return self.encoder.codes_of(np.asarray(model_input))
            return self.encoder.codes(list(model_input["image"]))
        except UserError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from None


set_model(Hashing())
