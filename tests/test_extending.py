"""Adding a method by the three steps of its page in docs/, and a quantizer likewise: nothing else is touched."""

import re
import shutil
import sys

import pytest

from tests.conftest import ROOT, Project, copy_project

FENCE = re.compile(r"^```(python|yaml|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """(language, text) of every code block of the page on adding a method."""
    return FENCE.findall((ROOT / "docs" / "adding-a-method.md").read_text(encoding="utf-8"))


def insert_below(text: str, *headings: str, line: str) -> str:
    """``line`` as the first of the section that the headings lead to."""
    place = 0
    for heading in headings:
        found = re.compile(rf"^{heading}:.*\n", re.MULTILINE).search(text, place)
        assert found is not None, heading
        place = found.end()
    return text[:place] + line + text[place:]


def leave_only(project: Project, method: str, quantizers: list[str]) -> None:
    """One method in the grid, one seed and an epoch: what is added is what runs."""
    project.edit("grid.methods", [method])
    project.edit("grid.quantizers", quantizers)
    project.edit("grid.seeds", [0])
    project.edit("visualize.seeds", [])
    project.edit("training.epochs", 1)
    project.edit("training.validate_every", 1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("extending") / "project")
    shutil.copytree(ROOT / "tests", project.folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", project.folder)
    return project


def new_files(project: Project) -> set[str]:
    return set(project.run("git", "ls-files", "--others", "--exclude-standard").stdout.splitlines())


@pytest.mark.xdist_group("extending")
def test_the_three_steps_of_the_docs(project: Project) -> None:
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "start")
    (_, method), (_, params), (_, test) = blocks()
    for text in (method, test):
        path = text.splitlines()[0].removeprefix("# ")
        (project.folder / path).write_text(text.partition("\n")[2])
    heading, line = params.splitlines(keepends=True)
    for name in ("params.yaml", "studies/defaults.yaml"):
        file = project.folder / name
        file.write_text(insert_below(file.read_text(), heading.rstrip(":\n"), line=line))

    assert new_files(project) == {"pipeline/methods/contrastive.py", "tests/methods/test_contrastive.py"}
    assert project.run("git", "diff", "--name-only").stdout.split() == ["params.yaml", "studies/defaults.yaml"]

    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tested = project.run(*pytest_, "tests/methods", "-k", "contrastive")
    assert int(re.search(r"(\d+) passed", tested.stdout)[1]) > 10  # type: ignore[index]
    listed = project.run("python", "-m", "pipeline", "list").stdout
    assert "contrastive loss of outputs (Hadsell, Chopra & LeCun, CVPR 2006)" in listed
    leave_only(project, "contrastive", ["original"])
    assert "cells/evaluate/dvc.yaml:evaluate@contrastive-original-16-0" in project.repro()
    assert "contrastive" in (project.results / "tables" / "results.csv").read_text()


@pytest.mark.xdist_group("extending")
def test_a_quantizer_is_its_file_its_params_and_its_test(project: Project) -> None:
    folder = project.folder
    source = (folder / "pipeline/quantizers/hswd.py").read_text()
    (folder / "pipeline/quantizers/mine.py").write_text(source.replace("class HSWD", "class Mine"))
    check = "from pipeline import quantizers\n\n\ndef test_mine() -> None:\n    assert 'mine' in quantizers.names()\n"
    (folder / "tests/quantizers/test_mine.py").write_text(check)
    file = folder / "params.yaml"
    text = insert_below(file.read_text(), "quantizers", line="  mine: {weight: 0.1, input: raw}\n")
    file.write_text(insert_below(text, "candidates", line="  mine: {weight: [0.1, 0.2]}\n"))
    arguments = ("-q", "-p", "no:cacheprovider", "tests/quantizers", "-k", "mine")
    assert "passed" in project.run(sys.executable, "-m", "pytest", *arguments).stdout
    leave_only(project, "csq", ["original", "mine"])
    assert "cells/evaluate/dvc.yaml:evaluate@csq-mine-16-0" in project.repro()
