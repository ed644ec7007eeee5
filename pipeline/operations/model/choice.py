"""Which trained cell becomes a model: the one that is named, or the best of a (method, quantizer, bits)."""

from pipeline.params import Params
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Layout, cells_of
from pipeline.runtime.outputs import read_json
from pipeline.runtime.registry import nearest


def best(params: Params, group: str, command: str) -> Cell:
    """Find the cell of a group with the highest validation mAP; on a tie, the one with the first seed.

    Queries are never used for this choice, whatever ``training.selection`` is: a metric measured on them would be
    biased upwards.

    Args:
        params: content of params.yaml.
        group: a group's name, such as ``dsdh-wr-16``.
        command: the command that asks, for messages.

    Raises:
        UserError: the grid has no such group, or one of its cells has no results.
    """
    layout = Layout(params["study"])
    cells = [cell for cell in cells_of(params["grid"]) if cell.group.name == group]
    if not cells:
        raise _unknown(params, group, command, "<method>-<quantizer>-<bits>")
    for cell in cells:
        _finished(cell, layout, command)
    return max(cells, key=lambda cell: read_json(layout.train(cell) / "training.json")["validation_map"])


def named(params: Params, name: str, command: str) -> Cell:
    """Find a cell by its name such as ``dsdh-wr-16-0``; or by its group's name, which means the ``best`` cell.

    Raises:
        UserError: the grid has neither, or a cell has no results.
    """
    cells = {cell.name: cell for cell in cells_of(params["grid"])}
    if name in cells:
        _finished(cells[name], Layout(params["study"]), command)
        return cells[name]
    if name not in {cell.group.name for cell in cells.values()}:
        raise _unknown(params, name, command, "<method>-<quantizer>-<bits>[-<seed>]")
    return best(params, name, command)


def _finished(cell: Cell, layout: Layout, command: str) -> None:
    for folder in (layout.train(cell), layout.metrics(cell)):
        if not folder.exists():
            raise UserError(f"{command}: {folder} is missing; run `dvc repro`, or `dvc pull` where it was pushed")


def _unknown(params: Params, name: str, command: str, form: str) -> UserError:
    known = list(dict.fromkeys(cell.group.name for cell in cells_of(params["grid"])))
    found = repr(name) if name else "nothing"
    return UserError(
        f"{command}: expected CELL={form} of params.yaml's grid, which has {', '.join(known)}; "
        f"found {found}{nearest(name, known)}"
    )
