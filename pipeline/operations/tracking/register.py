"""Register the best cell of a (method, quantizer, bits) as an MLflow model."""

import sys
import warnings
from importlib.metadata import packages_distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pipeline
from pipeline.operations.tracking.complete import complete, reason
from pipeline.operations.tracking.content import result_id, used_params
from pipeline.params import Params
from pipeline.runtime import provenance
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.outputs import read_json, write_json
from pipeline.runtime.registry import nearest

#: Modules that loading the model may import; those that are imported become the model's requirements.
MODULES = ("mlflow", "numpy", "torch", "torchvision", "safetensors", "efficientnet_lite_pytorch", "timm")


def best(params: Params, group: str) -> Cell:
    """Find the cell of a group with the highest validation mAP; on a tie, the one with the first seed.

    Queries are never used for this choice, whatever ``training.selection`` is: a metric measured on them would be
    biased upwards.

    Args:
        params: content of params.yaml.
        group: a group's name, such as ``dsdh-wr-16``.

    Raises:
        UserError: the grid has no such group, or one of its cells has no results.
    """
    layout = Layout(params["study"])
    all_cells = cells_of(params["grid"])
    cells = [cell for cell in all_cells if cell.group.name == group]
    if not cells:
        known = list(dict.fromkeys(cell.group.name for cell in all_cells))
        found = repr(group) if group else "nothing"
        raise UserError(
            f"register: expected CELL=<method>-<quantizer>-<bits> of params.yaml's grid, which has {', '.join(known)}; "
            f"found {found}{nearest(group, known)}"
        )
    for cell in cells:
        for folder in (layout.train(cell), layout.metrics(cell)):
            if not folder.exists():
                raise UserError(f"register: {folder} is missing; run `dvc repro`, or `dvc pull` where it was pushed")
    return max(cells, key=lambda cell: read_json(layout.train(cell) / "training.json")["validation_map"])


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
    cell = best(params, group)
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
             if found.tags.get("result_id") == identity]  # fmt: skip
    number = known[0].version if known else _log(params, cell, store, runs[0].info, name, identity)
    again = " already" if known else ""
    said = f"{name} version {number} is{again} the network of {cell.name}. To use it, in any folder:"
    return f"{said}\n{how(params, name, number)}"


def how(params: Params, name: str, number: str) -> str:
    """Example code that loads the model and hashes images, in any folder."""
    from pipeline.operations.tracking import locations

    size = params["dataset"].get("image_size")
    wanted = "vectors)  # float32 (n, D)" if size is None else f"images)  # uint8 (n, {size}, {size}, 3)"
    return (
        f"    import mlflow\n"
        f'    mlflow.set_tracking_uri("{locations.shown()}")\n'
        f'    model = mlflow.pyfunc.load_model("models:/{name}/{number}")\n'
        f"    codes = model.predict({wanted}"
    )


def _log(params: Params, cell: Cell, store: Any, run: Any, name: str, identity: str) -> str:
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    warnings.filterwarnings("ignore", message=".*type hints")  # the model has a signature
    with TemporaryDirectory() as folder, mlflow.start_run(run_id=run.run_id):
        images, codes = _written(params, cell, Path(folder))
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).parent / "model.py"),
            code_paths=[str(Path(pipeline.__file__).parent)],
            artifacts={name.partition(".")[0]: f"{folder}/{name}" for name in ("about.json", "weights.safetensors")},
            signature=_signature(images, codes),
            input_example=images,
            pip_requirements=_requirements(),
        )
    store.finish(run.run_id, ended=run.end_time)  # keep the time at which training ended
    made = mlflow.register_model(logged.model_uri, name, tags={"result_id": identity, "cell": cell.name})
    return str(made.version)


def _written(params: Params, cell: Cell, folder: Path) -> tuple[Any, Any]:
    """Write the model's description and weights; return two database images and their codes.

    The description is a file, since MLflow would log a model's config as params of the run. Imports all modules that
    the model will need.
    """
    import numpy as np
    from safetensors.torch import save_file

    from pipeline.codes import pack, sign
    from pipeline.encoding import device as devices
    from pipeline.encoding.encode import outputs
    from pipeline.encoding.head import of_method
    from pipeline.encoding.network import HashNetwork, load_cell, with_backbone
    from pipeline.features.views import Precision, inputs, precision
    from pipeline.preparation import arrays, splits

    layout = Layout(params["study"])
    frozen = params["backbone"]["frozen"]
    trained = read_json(layout.train(cell) / "training.json")
    data = inputs(params, layout, training=False)
    vectors = arrays.load(layout.data).images.ndim == 2
    used: Precision = precision(params, layout) if frozen and not vectors else trained["precision"]
    about = {"backbone": {**params["backbone"], "weights": "none"}, "bits": cell.bits, "precision": used}
    about |= {"image_size": params["dataset"].get("image_size"), "head": of_method(params, cell.method)}
    if vectors:
        about["num_features"] = data.images.shape[-1]
    write_json(folder / "about.json", about)
    compute = devices.choose({**params["compute"], "precision": used})
    weights = layout.train(cell) / "weights.safetensors"
    network: HashNetwork
    if vectors:
        network = load_cell(params, cell.group, compute, data, weights)
    else:
        network = with_backbone(params, cell.group, compute, weights)
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / "weights.safetensors")
    images = np.array(arrays.load(layout.data).images[splits.load(layout.split(cell.seed)).database[:2]])
    return images, pack(sign(outputs(network, images, np.arange(2), compute.device).numpy()))


def _signature(images: Any, codes: Any) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    return ModelSignature(
        Schema([TensorSpec(images.dtype, (-1, *images.shape[1:]))]),
        Schema([TensorSpec(codes.dtype, (-1, *codes.shape[1:]))]),
    )


def _requirements() -> list[str]:
    """The imported modules with their installed versions, without a local part such as ``+cpu``."""
    distributions = packages_distributions()
    # Several distributions may provide a module (mlflow, mlflow-skinny): prefer the one with the module's name.
    names = [
        module if module in distributions[module] else distributions[module][0]
        for module in MODULES
        if module in sys.modules
    ]
    return [f"{name}=={version(name).split('+')[0]}" for name in names]
