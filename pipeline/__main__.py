"""``python -m pipeline list``: what can be named in params.yaml, with a line about each."""

import ast
import sys
from pathlib import Path

from pipeline.runtime.registry import file_names

HERE = Path(__file__).parent
ROOMS = ("methods", "quantizers", "datasets", "protocols", "backbones")


def main() -> int:
    if sys.argv[1:] != ["list"]:
        print("usage: python -m pipeline list", file=sys.stderr)
        return 2
    for room in ROOMS:
        print(f"\n{room}")
        for name in file_names(HERE / room):
            # Read off the file: importing a method would import torch.
            text = ast.get_docstring(ast.parse((HERE / room / f"{name}.py").read_text(encoding="utf-8"))) or ""
            print(f"  {name:<20}{text.splitlines()[0].removeprefix(f'``{name}``: ')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
