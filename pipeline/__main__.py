"""``python -m pipeline list``: what can be named in params.yaml. ``python -m pipeline check``: is params.yaml right?"""

import ast
import sys
from pathlib import Path

from pipeline.runtime.entry import Params, command, said
from pipeline.runtime.registry import file_names

HERE = Path(__file__).parent
ROOMS = ("methods", "quantizers", "datasets", "protocols", "backbones")


def names() -> str:
    """Every name that params.yaml may hold, with its file's first line."""
    lines = []
    for room in ROOMS:
        lines.append(f"\n{room}")
        for name in file_names(HERE / room):
            # Read off the file: importing a method would import torch.
            text = ast.get_docstring(ast.parse((HERE / room / f"{name}.py").read_text(encoding="utf-8"))) or ""
            lines.append(f"  {name:<20}{text.splitlines()[0].removeprefix(f'``{name}``: ')}")
    return "\n".join(lines)


def checked(params: Params) -> str:
    return f"params.yaml: study {params['study']!r} is as it should be"


def main() -> int:
    if sys.argv[1:] == ["list"]:
        return said(names())
    if sys.argv[1:] == ["check"]:
        return command(checked)
    print("usage: python -m pipeline list | check", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
