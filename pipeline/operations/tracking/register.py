"""Register the best cell of a (method, quantizer, bits) as an MLflow model."""

import shlex
import sys
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pipeline
from pipeline.operations import model
from pipeline.operations.model.choice import best
from pipeline.operations.tracking.complete import complete, reason
from pipeline.operations.tracking.content import result_id, used_params
from pipeline.params import Params
from pipeline.params.schema import VECTORS
from pipeline.runtime import provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout

if TYPE_CHECKING:
    from pipeline.operations.model.encoder import Encoder
    from pipeline.preparation.square import Pixels

#: What a model takes: 2 for pictures. A network whose model has another format is registered anew.
FORMAT = "2"
#: Modules that loading the model may import, and their distributions; those that are imported become the model's
#: requirements. A test compares them with what is imported.
MODULES = {
    "mlflow": "mlflow",
    "numpy": "numpy",
    "torch": "torch",
    "torchvision": "torchvision",
    "safetensors": "safetensors",
    "PIL": "pillow",
    "pydantic": "pydantic",
    "ruamel.yaml": "ruamel.yaml",
    "threadpoolctl": "threadpoolctl",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "timm": "timm",
}


def register(params: Params, group: str) -> str:
    """Log the best cell's network to its run, and register it as ``<study>-<method>-<quantizer>-<bits>``.

    Args:
        params: content of params.yaml.
        group: a group's name, such as ``dsdh-wr-16``.

    Returns:
        the model's name and version, and code to use it.

    Raises:
        UserError: see ``best``; the results are of other params or code; or MLflow can't be reached.
    """
    cell = best(params, group, "register")
    try:
        complete(params)
        return _register(params, cell)
    except UserError:
        raise
    except Exception as error:  # a server or a driver may raise anything
        raise UserError(
            f"register: {reason(error)}; start the MLflow server or check MLFLOW_TRACKING_URI, then run this again"
        ) from None


def _register(params: Params, cell: Cell) -> str:
    from pipeline.operations.tracking import locations
    from pipeline.operations.tracking.store import opened

    layout, store = Layout(params["study"]), opened(params["study"], locations.uri())
    runs = []
    if record := provenance.read(layout.metrics(cell)):
        identity = result_id(used_params(params, cell, layout, record), cell, layout, layout.train(cell))
        runs = store.runs(f"tags.cell = '{cell.name}' and tags.result_id = '{identity}'")
    if not runs:
        raise UserError(f"register: {cell.name} has results of other params or code; run `dvc repro`")
    name = f"{params['study']}-{cell.group.name}"
    known = [found for found in store.client.search_model_versions(f"name = '{name}'")
             if (found.tags.get("result_id"), found.tags.get("format")) == (identity, FORMAT)]  # fmt: skip
    number = known[0].version if known else _log(params, cell, store, runs[0].info, name, identity)
    again = " already" if known else ""
    said = f"{name} version {number} is{again} the network of {cell.name}. To use it, in any folder:"
    return f"{said}\n{how(params, name, number)}"


def how(params: Params, name: str, number: str) -> str:
    """Example code that loads the model and hashes pictures or vectors, in any folder; and how to serve it."""
    from pipeline.operations.tracking import locations

    model = f"models:/{name}/{number}"
    if params["dataset"]["name"] in VECTORS:
        modules, given = ["import mlflow"], "vectors)  # float32 (n, D)"
    else:
        modules = ["from pathlib import Path", "import mlflow, pandas"]
        given = 'pandas.DataFrame({"image": [Path("photo.jpg").read_bytes()]}))  # one row a picture'
    lines = [
        *modules,
        f'mlflow.set_tracking_uri("{locations.shown()}")',
        f'model = mlflow.pyfunc.load_model("{model}")',
        f"codes = model.predict({given}",
    ]
    store = shlex.quote(f"MLFLOW_TRACKING_URI={locations.shown()}")
    served = f"env {store} mlflow models serve -m {model} --env-manager local --port 5001"
    return "\n".join([*(f"    {line}" for line in lines), "To serve it over HTTP:", f"    {served}"])


def _log(params: Params, cell: Cell, store: Any, run: Any, name: str, identity: str) -> str:
    import mlflow

    from pipeline.operations.model.encoder import Encoder
    from pipeline.operations.model.files import write

    mlflow.set_tracking_uri(store.uri)
    with TemporaryDirectory() as parent, mlflow.start_run(run_id=run.run_id):
        folder = Path(parent) / "network"
        folder.mkdir()
        write(params, cell, folder)
        signature, example = _described(params, cell, Encoder.load(folder))
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(model.__file__).parent / "pyfunc.py"),
            code_paths=[str(Path(pipeline.__file__).parent)],
            artifacts={"network": str(folder)},
            signature=signature,
            input_example=example,
            pip_requirements=_requirements(),
        )
    store.finish(run.run_id, ended=run.end_time)  # keep the time at which training ended
    made = mlflow.register_model(
        logged.model_uri, name, tags={"result_id": identity, "cell": cell.name, "format": FORMAT}
    )
    return str(made.version)


def _described(params: Params, cell: Cell, encoder: "Encoder") -> tuple[Any, Any]:
    """The signature of the model, and an example of its input: two database images, as pictures or vectors."""
    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    from pipeline.preparation import arrays, splits

    layout = Layout(params["study"])
    found = np.array(arrays.load(layout.data).images[splits.load(layout.split(cell.seed)).database[:2]])
    codes = encoder.codes_of(found)
    if encoder.image_size is None:
        inputs, example = Schema([TensorSpec(found.dtype, (-1, *found.shape[1:]))]), found
    else:
        inputs = Schema([ColSpec("binary", "image")])
        example = pd.DataFrame({"image": [_png(pixels) for pixels in found]})
    return ModelSignature(inputs, Schema([TensorSpec(codes.dtype, (-1, *codes.shape[1:]))])), example


def _png(pixels: "Pixels") -> bytes:
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _requirements() -> list[str]:
    """The imported modules' distributions with their installed versions, without a local part such as ``+cpu``."""
    found = [distribution for module, distribution in MODULES.items() if module in sys.modules]
    return [f"{distribution}=={version(distribution).split('+')[0]}" for distribution in found]
