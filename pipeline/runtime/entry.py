"""How a stage or command starts and ends: check params.yaml, run, report an error in one line."""

import argparse
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.params import Params
from pipeline.params import read as read_params
from pipeline.runtime import provenance
from pipeline.runtime.errors import UserError, hidden
from pipeline.runtime.layout import Cell, Group, Layout
from pipeline.runtime.machine import have_a_home


@dataclass(frozen=True)
class Stage:
    """A pipeline stage: a function of params.yaml and of command-line options. Each file in stages/ defines one.

    Args:
        run: called with the params, the ``Layout``, the Cell or Group if ``about`` is set, and the remaining options
            as keyword arguments.
        about: the type (Cell or Group) that is built from the first options; None if the stage has neither. If the
            stage fails, the error is stored under the name of this Cell or Group for the report.
        options: name and type of every command-line option; all are required.
    """

    run: Callable[..., None]
    about: type[Cell] | type[Group] | None
    options: dict[str, type]

    @property
    def name(self) -> str:
        """The stage's name in error messages and commands: ``batch_size``."""
        return Path(self.run.__code__.co_filename).stem

    def parse(self, arguments: list[str]) -> tuple[Cell | Group | None, dict[str, Any]]:
        """Parse a command line.

        Args:
            arguments: the command line without the name of the program.

        Returns:
            the Cell or Group (None if the stage has neither), and the remaining options by name.
        """
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
            arguments: the stage's command line without the name of the program.

        Raises:
            UserError: the params, the options or the inputs are invalid.
        """
        about, others = self.parse(arguments)
        layout = Layout(params["study"])
        with _Remembered(layout, self.name, about):
            item = (asdict(about) if about else {}) | others
            record = provenance.begun(self.name.replace("_", "-"), item, params, layout.folder)
            self.run(params, replace(layout, record=record), *([about] if about else []), **others)

    def main(self) -> None:
        """Run the stage as a script: ``python -m stages.<name>`` with the options in ``sys.argv``."""
        arguments = sys.argv[1:]
        self.parse(arguments)
        _execute(lambda params: self.call(params, arguments))


def stage(run: Callable[..., None], **options: type) -> Stage:
    """Make a stage that works on the whole study, or on a part that its options name."""
    return Stage(run, None, options)


def group_stage(run: Callable[[Params, Layout, Group], None]) -> Stage:
    """Make a stage that works on one group (method, quantizer, bits)."""
    return Stage(run, Group, {"method": str, "quantizer": str, "bits": int})


def cell_stage(run: Callable[..., None], **further: type) -> Stage:
    """Make a stage that works on one cell (method, quantizer, bits, seed) and has the options ``further``."""
    return Stage(run, Cell, {"method": str, "quantizer": str, "bits": int, "seed": int} | further)


def command(run: Callable[[], str]) -> int:
    """Run a command of ``python -m pipeline`` and print the text that it returns.

    Returns:
        the exit code, see ``exit_code``.
    """
    have_a_home()
    return exit_code(lambda: said(run()))


def exit_code(run: Callable[[], int], interrupted: str = "interrupted") -> int:
    """Run a function and report how it failed, if the user can do something about it.

    Args:
        run: returns an exit code.
        interrupted: the message after Ctrl-C.

    Returns:
        the function's exit code; 1 for a ``UserError`` or ``PermissionError`` (printed as ``error:`` lines), 130 for
        Ctrl-C.
    """
    try:
        return run()
    except UserError as error:
        complain(error)
        return 1
    except PermissionError as error:
        where = f"{error.filename}: {error.strerror}"
        complain(UserError(f"{where}; make it writable for you, or work in a clone of your own"))
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130


def said(text: str) -> int:
    """Print a command's output. A closed pipe (``| head``) is not an error.

    Returns:
        the exit code, 0.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes stdout at exit; send that to /dev/null (Python's manual, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def complain(error: UserError) -> None:
    """Print an error to standard error, each line prefixed with ``error:`` and without passwords."""
    print("\n".join(f"error: {line}" for line in hidden(str(error)).splitlines()), file=sys.stderr)


def _execute(run: Callable[[Params], None]) -> None:
    # stages/__init__.py turns garbage collection off during imports. Exempt the imported objects and turn it on.
    gc.freeze()
    gc.enable()
    have_a_home()

    def ran() -> int:
        run(read_params())
        return 0

    code = exit_code(ran, "interrupted; nothing was written, run the stage again")
    sys.stdout.flush()
    sys.stderr.flush()
    # With torch loaded, a normal interpreter shutdown takes 0.6 s. All outputs are already closed.
    os._exit(code)


class _Remembered:
    """Writes ``failed/<cell>.txt`` if the block fails; deletes the file on success if the same stage wrote it."""

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
