"""How a stage or command starts and ends: check params.yaml, run, say what went wrong in one line."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import params as gate
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell, Group, Layout

Params = dict[str, Any]


def stage(run: Callable[..., None], **arguments: type) -> None:
    """Run a stage; its command line has one required option for each of ``arguments``.

    Args:
        run: takes the params and each argument by its name.
    """
    named = _parsed(arguments)
    _execute(lambda params: run(params, **named))


def group_stage(run: Callable[[Params, Group], None]) -> None:
    """Run a stage that works on one (method, quantizer, bits); why it failed, if so, is kept for the report."""
    group = Group(**_parsed({"method": str, "quantizer": str, "bits": int}))
    _execute(lambda params: run(params, group), group)


def cell_stage(run: Callable[..., None], **further: type) -> None:
    """Run a stage that works on one cell; why it failed, if so, is kept for the report.

    Args:
        run: takes the params, the cell, and each further argument by its name.
    """
    named = _parsed({"method": str, "quantizer": str, "bits": int, "seed": int} | further)
    others = {name: named.pop(name) for name in further}
    cell = Cell(**named)
    _execute(lambda params: run(params, cell, **others), cell)


def command(run: Callable[[Params], str]) -> int:
    """Run a command of the library, ``python -m pipeline.<something>``, and print what it returns.

    Returns:
        the exit code: 1 where params.yaml or ``run`` had something to say against it, in one line each.
    """
    try:
        print(run(gate.read()))
    except UserError as error:
        _complain(error)
        return 1
    return 0


def _parsed(arguments: dict[str, type]) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    for name, kind in arguments.items():
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, type=kind)
    return vars(parser.parse_args())


def _complain(error: UserError) -> None:
    print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)


def _execute(run: Callable[[Params], None], about: Cell | Group | None = None) -> None:
    # Imports are over (stages/__init__.py): what they made is here to stay, and collecting begins.
    gc.freeze()
    gc.enable()
    code = 0
    try:
        params = gate.read()
        with _Remembered(params, about):
            run(params)
    except UserError as error:
        _complain(error)
        code = 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written, run the stage again", file=sys.stderr)
        code = 130
    sys.stdout.flush()
    sys.stderr.flush()
    # With torch loaded, taking the interpreter down in order takes 0.6 s; the outputs are closed by now.
    os._exit(code)


class _Remembered:
    """Leaves ``failed/<cell>.txt`` if the block fails, and removes what the same stage left there if it doesn't."""

    def __init__(self, params: Params, about: Cell | Group | None) -> None:
        self.file = Layout(params["study"]).failure(about) if about else None
        self.stage = Path(sys.argv[0]).stem

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self.file is None:
            return
        if isinstance(error, Exception):
            what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(f"{self.stage}: {' '.join(what.split())}\n", encoding="utf-8")
        elif error is None and self.file.exists() and self.file.read_text().startswith(f"{self.stage}:"):
            self.file.unlink()
