"""Write ``cells/<method>/<stage>/dvc.yaml`` for every registered method: ``make cells``.

The files of one stage differ in the method's name alone. Folders of methods that are gone are removed. A params
file that doesn't name a method yet gets the line that leaves it out: DVC reads each method's matrix from there.
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
    wdir: ../../..
"""


def expected(methods: list[str]) -> dict[Path, str]:
    """What every generated file must hold, by its path below ``cells/``."""
    # As text, so that the files keep the template's own layout; comments are for who edits the template.
    text = (HERE / "template.yaml").read_text(encoding="utf-8")
    template = re.sub(r"^(#.*)?\n", "", text, flags=re.MULTILINE)
    _, *parts = re.split(r"^(\w+):\n", template, flags=re.MULTILINE)
    stages = dict(zip(parts[::2], parts[1::2], strict=True))
    return {
        Path(method, stage, "dvc.yaml"): HEAD.format(stage=stage)
        + textwrap.indent(body.replace("METHOD", method), "  ")
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


def enlist(params: str, methods: list[str]) -> str:
    """The text of a params file with ``<method>: []`` below ``grid: methods:`` for each that is missing there."""
    section = re.search(r"^grid:\n(?:[ #].*\n|\n)*?  methods:.*\n((?:    .*\n|\n)*)", params, re.MULTILINE)
    if section is None:
        return params  # not a params file as this project writes them; its reader will say what is wrong
    lines = section[1].splitlines(keepends=True)
    named = {match[1] for line in lines if (match := re.match(r"    (\w+):", line))}
    lines += [f"    {method}: []\n" for method in methods if method not in named]
    return params[: section.start(1)] + "".join(lines) + params[section.end(1) :]


if __name__ == "__main__":
    registered = file_names(METHODS)
    write(HERE, registered)
    for file in [HERE.parent / "params.yaml", *sorted((HERE.parent / "studies").glob("*.yaml"))]:
        file.write_text(enlist(file.read_text(encoding="utf-8"), registered), encoding="utf-8")
