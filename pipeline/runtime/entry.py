"""How a stage or command starts and ends: check params.yaml, run, say what went wrong in one line."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from typing import Any

from pipeline import params as gate
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import Cell

Params = dict[str, Any]


def cell_stage(run: Callable[..., None], *further: str) -> None:
    """Run a stage that works on one cell; the command line names it, and what is ``further`` needed.

    Args:
        run: takes the params, the cell, and each further argument by its name, a string.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", required=True)
    parser.add_argument("--quantizer", required=True)
    parser.add_argument("--bits", required=True, type=int)
    parser.add_argument("--seed", required=True, type=int)
    for name in further:
        parser.add_argument(f"--{name}", required=True)
    named = vars(parser.parse_args())
    others = {name: named.pop(name) for name in further}
    _execute(lambda params: run(params, Cell(**named), **others))


def seed_stage(run: Callable[[Params, int], None]) -> None:
    """Run a stage that works on one seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", required=True, type=int)
    seed = parser.parse_args().seed
    _execute(lambda params: run(params, seed))


def code_stage(run: Callable[[Params, str], None]) -> None:
    """Run the stage that hashes the shared modules of one of the cells' stages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stage", required=True)
    stage = parser.parse_args().stage
    _execute(lambda params: run(params, stage))


def study_stage(run: Callable[[Params], None]) -> None:
    """Run a stage that works on the whole study."""
    argparse.ArgumentParser().parse_args()
    _execute(run)


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


def _complain(error: UserError) -> None:
    print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)


def _execute(run: Callable[[Params], None]) -> None:
    # Imports are over (stages/__init__.py): what they made is here to stay, and collecting begins.
    gc.freeze()
    gc.enable()
    code = 0
    try:
        params = gate.read()
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
