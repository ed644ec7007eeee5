"""Write ``cells/<method>/<stage>/dvc.yaml`` for every registered method: ``make cells``.

The files of one stage differ in the method's name alone. Folders of methods that are gone are removed.
"""

import re
import shutil
import textwrap
from pathlib import Path

from pipeline.runtime.registry import file_names

HERE = Path(__file__).parent
METHODS = HERE.parent / "pipeline" / "methods"
HEAD = """\
# Made from cells/template.yaml by `make cells`; edit that file.
vars: [../../../params.yaml]

stages:
  {stage}:
    matrix:
      method: [{method}]
      quantizer: ${{grid.methods.{method}}}
      bits: ${{grid.bits}}
      seed: ${{grid.seeds}}
    wdir: ../../..
"""


def expected(methods: list[str]) -> dict[Path, str]:
    """What every generated file must hold, by its path below ``cells/``."""
    template = (HERE / "template.yaml").read_text(encoding="utf-8")
    # Split as text, so that the files keep the template's own layout.
    _, *parts = re.split(r"^(\w+):\n", template, flags=re.MULTILINE)
    stages = dict(zip(parts[::2], parts[1::2], strict=True))
    return {
        Path(method, stage, "dvc.yaml"): HEAD.format(stage=stage, method=method)
        + textwrap.indent(body.rstrip() + "\n", "  ")
        for method in methods
        for stage, body in stages.items()
    }


def write(folder: Path, methods: list[str]) -> None:
    """Make ``folder`` hold the files of these methods and of no other."""
    files = {folder / path: text for path, text in expected(methods).items()}
    for found in folder.glob("*/*/dvc.yaml"):
        if found not in files:
            shutil.rmtree(found.parent)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(HERE, file_names(METHODS))
