"""How a stage or command starts and ends: check params.yaml, run, say what went wrong in one line."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.params import read as read_params
from pipeline.runtime import provenance
from pipeline.runtime.errors import UserError, hidden
from pipeline.runtime.layout import Cell, Group, Layout
from pipeline.runtime.machine import have_a_home

Params = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """What a file in stages/ is: a function of params and of its command line's options, to be run or called.

    Args:
        run: takes the params, where to write, then what the stage is about, if anything, then each other option by
            its name.
        about: a Cell or Group that the first options make up; why it failed, if so, is kept for the report.
        options: name and type of every option; all are required.
    """

    run: Callable[..., None]
    about: type[Cell] | type[Group] | None
    options: dict[str, type]

    @property
    def name(self) -> str:
        """The stage's name in error messages and commands: ``batch_size``."""
        return Path(self.run.__code__.co_filename).stem

    def parse(self, arguments: list[str]) -> tuple[Cell | Group | None, dict[str, Any]]:
        """What the options of a command line make up, and the other options."""
        parser = argparse.ArgumentParser()
        for name, kind in self.options.items():
            parser.add_argument(f"--{name.replace('_', '-')}", required=True, type=kind)
        found = vars(parser.parse_args(arguments))
        if self.about is None:
            return None, found
        about = self.about(**{field.name: found.pop(field.name) for field in fields(self.about)})
        return about, found

    def call(self, params: Params, arguments: list[str]) -> None:
        """Run the stage in this process.

        Args:
            params: as ``pipeline.params.read`` returns them.
            arguments: its command line, after the name of the program.

        Raises:
            UserError: whatever the stage has to say against what it was given.
        """
        about, others = self.parse(arguments)
        layout = Layout(params["study"])
        with _Remembered(layout, self.name, about):
            item = (asdict(about) if about else {}) | others
            record = provenance.begun(self.name.replace("_", "-"), item, params, layout.folder)
            self.run(params, replace(layout, record=record), *([about] if about else []), **others)

    def main(self) -> None:
        """Run the stage as a script: ``python -m stages.<name>`` and its options."""
        arguments = sys.argv[1:]
        self.parse(arguments)
        _execute(lambda params: self.call(params, arguments))


def stage(run: Callable[..., None], **options: type) -> Stage:
    """A stage of the whole study, or of a part of it that its options name."""
    return Stage(run, None, options)


def group_stage(run: Callable[[Params, Layout, Group], None]) -> Stage:
    """A stage that works on one (method, quantizer, bits)."""
    return Stage(run, Group, {"method": str, "quantizer": str, "bits": int})


def cell_stage(run: Callable[..., None], **further: type) -> Stage:
    """A stage that works on one cell, and maybe further options."""
    return Stage(run, Cell, {"method": str, "quantizer": str, "bits": int, "seed": int} | further)


def command(run: Callable[[], str]) -> int:
    """Run a command of ``python -m pipeline``, and print what it returns.

    Returns:
        the exit code: 1 where ``run`` had something to say against what it was given, in one line each.
    """
    have_a_home()
    try:
        return said(run())
    except UserError as error:
        complain(error)
        return 1
    except PermissionError as error:
        complain(not_allowed(error))
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def said(text: str) -> int:
    """Print what a command has to say; a reader that has seen enough (``| head``) is no error.

    Returns:
        the exit code.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What Python would write at its end goes nowhere (Python's manual, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def not_allowed(error: PermissionError) -> UserError:
    """What a user without the right to write, or to read, is told."""
    return UserError(f"{error.filename}: {error.strerror}; make it writable for you, or work in a clone of your own")


def complain(error: UserError) -> None:
    """Print what a user has to be told, a line each, as stages and commands do."""
    print("\n".join(f"error: {line}" for line in hidden(str(error)).splitlines()), file=sys.stderr)


def _execute(run: Callable[[Params], None]) -> None:
    # Imports are over (stages/__init__.py): what they made is here to stay, and collecting begins.
    gc.freeze()
    gc.enable()
    code = 0
    have_a_home()
    try:
        run(read_params())
    except UserError as error:
        complain(error)
        code = 1
    except PermissionError as error:
        complain(not_allowed(error))
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

    def __init__(self, layout: Layout, stage: str, about: Cell | Group | None) -> None:
        self.file = layout.failure(about) if about else None
        self.stage = stage

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
