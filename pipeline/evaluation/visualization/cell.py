"""Visualizations of one cell's codes."""

from pathlib import Path

from pipeline.codes import unpack
from pipeline.evaluation.visualization import gallery, tsne
from pipeline.params import schema
from pipeline.preparation.arrays import Prepared
from pipeline.runtime import stored
from pipeline.runtime.layout import Cell


def write(settings: schema.Visualize, codes: Path, data: Prepared, cell: Cell, target: Path) -> None:
    """Write ``tsne.csv`` of database codes, and ``gallery.csv`` with ``gallery.png``.

    Args:
        settings: params.yaml's ``visualize`` section.
        codes: the cell's folder from ``encode``.
        data: the prepared dataset.
        cell: method, quantizer, code length and seed.
        target: the folder to write into.
    """
    packed = stored.array(codes / "database_codes.npy", "uint8", 2)
    indices = stored.array(codes / "database_indices.npy", "int64", 1)
    shown = tsne.sample(indices, settings["images"], cell.seed)
    points = tsne.embed(unpack(packed[shown], cell.bits), perplexity=settings["perplexity"], seed=cell.seed)
    tsne.write({"codes": points}, data.labels[indices[shown]], target / "tsne.csv")
    gallery.write(
        codes, data, queries=settings["queries"], neighbours=settings["neighbours"], seed=cell.seed, target=target
    )
