"""Write ``cells/<method>/dvc.yaml`` for every registered method: ``make cells``, or ``python -m cells.generate``.

The files differ in the method's name alone. Folders of methods that are gone are removed.
"""

import shutil
from pathlib import Path

from pipeline.runtime.registry import file_names

HERE = Path(__file__).parent
METHODS = HERE.parent / "pipeline" / "methods"


def expected() -> dict[Path, str]:
    """What every generated file must hold, by path."""
    template = (HERE / "template.yaml").read_text(encoding="utf-8")
    body = template[template.index("vars:") :]
    head = "# Made from cells/template.yaml by `make cells`; edit that file.\n"
    return {
        HERE / name / "dvc.yaml": head + body.replace("METHOD", name) for name in file_names(METHODS)
    }


def main() -> None:
    files = expected()
    for folder in HERE.iterdir():
        if (folder / "dvc.yaml").exists() and folder / "dvc.yaml" not in files:
            shutil.rmtree(folder)
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
