"""Build an index over all images of a study, by the network and the codes of one cell."""

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from pipeline.codes import pack, sign
from pipeline.operations.model import onnx_file
from pipeline.operations.model.choice import named as named_cell
from pipeline.operations.model.encoder import ONNX, described
from pipeline.operations.model.files import write as write_model
from pipeline.operations.search import kinds
from pipeline.operations.search.index import ITEMS, MODEL, publish
from pipeline.operations.search.items import Items, Packed, Row, content
from pipeline.params import Params
from pipeline.preparation import arrays
from pipeline.preparation.arrays import Prepared
from pipeline.runtime import provenance, stored
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout
from pipeline.runtime.outputs import atomic_folder, read_json

#: Images written at a time.
BLOCK = 1024
#: Side of a thumbnail in pixels, at most.
THUMBNAIL = 160
#: Up to this side, a thumbnail is a PNG, in which few pixels stay sharp.
SMALL = 32


def build(params: Params, name: str, kind: str, target: Path | None = None) -> str:
    """Build the index of a cell.

    Args:
        params: the content of params.yaml.
        name: a cell such as ``csq-wr-32-0``, or a group such as ``csq-wr-32``: the seed with the best validation mAP.
        kind: see ``kinds.KINDS``.
        target: the folder to write; ``results/<study>/index/<cell>-<kind>`` if None. An index there is replaced.

    Returns:
        what was built, and how to use it.

    Raises:
        UserError: unknown cell or kind, or results are missing or of other params.
    """
    kinds.check(kind)
    layout, cell = Layout(params["study"]), named_cell(params, name, "index")
    chosen = _chosen(params, name, cell)
    target = target or layout.folder / "index" / f"{cell.name}-{kind}"
    if target.exists() and not (target / "manifest.json").exists():
        raise UserError(f"{target}: exists and is no index; name another folder")
    data = arrays.load(layout.data)
    with atomic_folder(target, target.with_name(f".{target.name}.partial")) as folder:
        (folder / MODEL).mkdir()
        write_model(params, cell, folder / MODEL)
        slower = _write_onnx(cell, folder / MODEL)
        with closing(Items(folder / ITEMS, writable=True)) as items:
            for rows in _rows(data, _codes(params, cell, layout, data)):
                items.add(rows)
        publish(folder, kind, _about(params, cell, chosen, data))
    return (
        f"{target}: {len(data.labels):,} images, {cell.bits} bits, kind {kind}\n"
        f"network and codes of {cell.name} ({chosen})\n"
        f"search it: python -m pipeline search {target} IMAGE\n"
        f"serve it:  make serve INDEX={target}{slower}"
    )


def _write_onnx(cell: Cell, folder: Path) -> str:
    """Write the network as an ONNX file as well, by which a CPU computes queries faster.

    Not that of a network trained in bfloat16, since the file's layers compute in float32.

    Returns:
        a line that says why there is no file; empty if there is one, or nothing can be done about it.
    """
    if described(folder)["precision"] != "float32":
        return ""
    if missing := onnx_file.missing_package():
        why = f"the package {missing} is missing; run `pip install -r requirements-search.txt` and build it again"
    else:
        try:
            onnx_file.export(cell.name, folder, folder / ONNX)
            return ""
        except Exception as error:  # the exporter raises many types, for layers that ONNX doesn't have
            (folder / ONNX).unlink(missing_ok=True)
            why = f"this network can't be written as ONNX ({type(error).__name__})"
    return f"\non a CPU, codes of queries are computed by torch, which is slower: {why}"


def _chosen(params: Params, name: str, cell: Cell) -> str:
    """How the seed of a cell was chosen, given the name that the user typed."""
    if name == cell.name:
        return "the seed that was asked for"
    seeds = len(params["grid"]["seeds"])
    return f"the best of {seeds} seeds by validation mAP" if seeds > 1 else "the only seed"


def _about(params: Params, cell: Cell, chosen: str, data: Prepared) -> dict[str, Any]:
    return {
        "study": params["study"],
        "cell": cell.name,
        "seed_chosen": chosen,
        "code_length": cell.bits,
        "bit": "1 is +1, 0 is -1; the first bit is the highest of the first byte (numpy.packbits)",
        "dataset": params["dataset"]["name"],
        "content_hash": data.manifest["content_hash"],
        "classes": list(data.manifest["classes"]),
        "vectors": data.images.ndim == 2,
    }


def _codes(params: Params, cell: Cell, layout: Layout, data: Prepared) -> Packed:
    """The packed codes of all images: those that ``encode`` stored, and the others computed."""
    folder, total = layout.codes(cell), len(data.labels)
    if read_json(folder / "codes.json")["content_hash"] != data.manifest["content_hash"]:
        raise UserError(f"{folder}: of other images than {layout.data}; run `dvc repro`")
    codes = np.zeros((total, -(-cell.bits // 8)), np.uint8)
    known = np.zeros(total, bool)
    for part in ("query", "database"):
        rows = stored.array(folder / f"{part}_indices.npy", "int64", 1)
        codes[rows], known[rows] = stored.array(folder / f"{part}_codes.npy", "uint8", 2), True
    if len(rest := np.flatnonzero(~known)):
        codes[rest] = _computed(params, cell, layout, rest)
    return codes


def _computed(params: Params, cell: Cell, layout: Layout, rows: npt.NDArray[np.int64]) -> Packed:
    """Codes of images that are neither query nor database images."""
    from pipeline.encoding import device as devices
    from pipeline.encoding.encode import outputs
    from pipeline.encoding.network import load_cell
    from pipeline.features.views import inputs
    from pipeline.operations.tracking.content import used_params

    record = provenance.read(layout.train(cell))
    assert record is not None  # the model of the index was written from it
    used = used_params(params, cell, layout, record)
    data = inputs(used, layout, training=False)
    compute = devices.choose(params["compute"])
    network = load_cell(used, cell.group, compute, data, layout.train(cell) / "weights.safetensors")
    return pack(sign(outputs(network, data.images, rows, compute.device).numpy()))


def _rows(data: Prepared, codes: Packed) -> Iterator[list[Row]]:
    """All images as blocks of items, with a progress bar.

    They are in random order, the same each time. A dataset may be ordered by class, and of equally near items the first
    are found: on CIFAR-10 with 64 bits, mAP@100 was 0.55 in the dataset's order, and is 0.72.
    """
    data.check()
    classes, order = list(data.manifest["classes"]), np.random.default_rng(0).permutation(len(codes))
    for start in tqdm(range(0, len(codes), BLOCK), desc="index", unit="block", disable=None):
        rows = order[start : start + BLOCK]
        yield [
            Row(data.ids[row], named(data.labels[row], classes), content(image), codes[row], thumbnail(image))
            for row, image in zip(rows.tolist(), data.images[rows], strict=True)
        ]


def named(labels: npt.NDArray[np.uint8], classes: list[str]) -> list[str]:
    """The names of an image's classes."""
    return [classes[place] for place in np.flatnonzero(labels)]


def thumbnail(image: npt.NDArray[Any]) -> bytes | None:
    """A small image file of (S, S, 3) uint8 pixels; None for a vector."""
    if image.ndim == 1:
        return None
    picture, stream = Image.fromarray(image), io.BytesIO()
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    if max(picture.size) <= SMALL:
        picture.save(stream, "PNG")
    else:
        picture.save(stream, "JPEG", quality=85)
    return stream.getvalue()
