"""Every params file in studies/: it is valid, its graph loads, and it holds what docs/studies.md says."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from pipeline.params import read
from pipeline.runtime.layout import cells_of
from tests.conftest import ROOT, Project, copy_project

STUDIES = sorted(ROOT.glob("studies/*.yaml"))
every_study = pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("studies"))


@pytest.mark.xdist_group("studies")
@every_study
def test_the_graph_loads_with_every_stage_of_every_cell(file: Path, project: Project) -> None:
    (project.folder / "params.yaml").write_text(file.read_text())
    params = read(file)
    listed = project.run("dvc", "stage", "list", "--all", "--name-only").stdout.split()
    found = Counter(name.split(":")[-1].split("@")[0] for name in listed)
    cells = cells_of(params["grid"])
    groups = {cell.group for cell in cells}
    assert (found["train"], found["tune"], found["split"]) == (len(cells), len(groups), len(params["grid"]["seeds"]))
    assert found["informativeness"] == len(cells) * len(params["informativeness"]["of"])
    timing = params["timing"]
    assert found["timing"] == len(timing["methods"]) * len(timing["batch_sizes"])
    for section in ("batch_size", "visualize"):
        lists = ("methods", "quantizers", "bits", "seeds", *(["values"] if section == "batch_size" else []))
        expected = 1
        for key in lists:
            expected *= len(params[section][key])
        assert found[section.replace("_", "-")] == expected


@every_study
def test_its_name_and_its_command_are_its_files(file: Path) -> None:
    assert read(file)["study"] == file.stem
    assert f"cp studies/{file.name} params.yaml && dvc repro" in file.read_text()


def test_docs_name_every_study_with_its_number_of_cells() -> None:
    text = (ROOT / "docs" / "studies.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(?:[^|]*\|){2} (\d+) \|", text, re.MULTILINE))
    assert rows == {file.stem: str(len(cells_of(read(file)["grid"]))) for file in STUDIES}


def test_both_papers_tables_all_have_a_study() -> None:
    """Every (table, dataset) of the published numbers is some study's to be set beside."""
    sides = {
        (table, params["published"]["dataset"])
        for params in map(read, STUDIES)
        for table in params["published"]["tables"]
        if not params["study"].endswith("small")
    }
    lines = (ROOT / "published" / "results.csv").read_text().splitlines()[1:]
    assert {tuple(line.split(",")[:2]) for line in lines} <= sides
    for file in STUDIES:
        params = yaml.safe_load(file.read_text())
        if params["published"]["tables"] and not file.stem.endswith("small"):
            known = {"nuswide": "nuswide81"}.get(params["published"]["dataset"], params["published"]["dataset"])
            assert params["dataset"]["name"] == known
