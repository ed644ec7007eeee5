"""Every study: its params are valid, its graph loads, it holds what docs/studies.md says; and how it is written."""

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from pipeline.params import check, read, studies
from pipeline.params.json_schema import json_schema
from pipeline.runtime.errors import UserError
from pipeline.runtime.layout import cells_of
from pipeline.runtime.yaml12 import parse
from tests.conftest import ROOT, Project, copy_project

STUDIES = studies.names(ROOT / "studies")
every_study = pytest.mark.parametrize("name", STUDIES)


def params_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = parse(studies.compose(name, ROOT / "studies"))
    return content


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("studies"))


@pytest.mark.slow
@pytest.mark.xdist_group("studies")
@every_study
def test_the_graph_loads_with_every_stage_of_every_cell(name: str, project: Project) -> None:
    project.run("python", "-m", "pipeline", "study", name, "--force")
    assert read(project.folder / "params.yaml")["study"] == name
    for key in ("methods", "quantizers", "bits", "seeds"):  # DVC takes 4 ms a stage
        project.edit(f"grid.{key}", project.params["grid"][key][:2])
    measured = project.params["informativeness"]["bits"]
    project.edit("informativeness.bits", [bits for bits in measured if bits in project.params["grid"]["bits"]])
    params = project.params
    listed = project.run("dvc", "stage", "list", "--all", "--name-only").stdout.split()
    found = Counter(name.split(":")[-1].split("@")[0].removesuffix("-training-free") for name in listed)
    cells = cells_of(params["grid"])
    groups = {cell.group for cell in cells}
    assert (found["train"], found["tune"], found["split"]) == (len(cells), len(groups), len(params["grid"]["seeds"]))
    measured = [cell for cell in cells if cell.bits in params["informativeness"]["bits"]]
    assert found["informativeness"] == len(measured) * len(params["informativeness"]["parts"])
    timing = params["timing"]
    assert found["timing"] == len(timing["methods"]) * len(timing["batch_sizes"])
    for section in ("batch_size", "visualize"):
        lists = ("methods", "quantizers", "bits", "seeds", *(["values"] if section == "batch_size" else []))
        expected = 1
        for key in lists:
            expected *= len(params[section][key])
        assert found[section.replace("_", "-")] == expected


@every_study
def test_it_says_only_what_differs_from_the_defaults(name: str) -> None:
    params, defaults = params_of(name), parse((ROOT / "studies" / "defaults.yaml").read_text())
    assert params["study"] == name
    file = ROOT / "studies" / f"{name}.yaml"
    own = YAML().load(file.read_text())
    assert [line for key in own if key not in studies.GIVEN_WHOLE for line in _said_twice(own, defaults, key)] == []
    assert len(file.read_text().splitlines()) <= 50


def _said_twice(own: Any, defaults: Any, key: str) -> list[str]:
    """Values that are the defaults' own; one in braces is one value."""
    if isinstance(own[key], dict) and not own[key].fa.flow_style():
        return [f"{key}.{line}" for inner in own[key] for line in _said_twice(own[key], defaults[key], inner)]
    return [key] if own[key] == defaults[key] else []


def test_docs_name_every_study_with_its_number_of_cells() -> None:
    text = (ROOT / "docs" / "studies.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(?:[^|]*\|){2} (\d+) \|", text, re.MULTILINE))
    assert rows == {name: str(len(cells_of(params_of(name)["grid"]))) for name in STUDIES}


def test_both_papers_tables_all_have_a_study() -> None:
    """Every (table, dataset) of the published numbers is some study's to be set beside."""
    sides = {
        (table, params["published"]["dataset"])
        for params in map(params_of, STUDIES)
        for table in params["published"]["tables"]
        if not params["study"].endswith("small")
    }
    lines = (ROOT / "published" / "results.csv").read_text().splitlines()[1:]
    assert {tuple(line.split(",")[:2]) for line in lines} <= sides
    for params in map(params_of, STUDIES):
        if params["published"]["tables"] and not params["study"].endswith("small"):
            known = {"nuswide": "nuswide81"}.get(params["published"]["dataset"], params["published"]["dataset"])
            assert params["dataset"]["name"] == known


def test_the_committed_params_are_the_study_digits() -> None:
    assert (ROOT / "params.yaml").read_text() == studies.compose("digits", ROOT / "studies")


def test_the_committed_schema_is_the_params_models() -> None:
    assert json.loads((ROOT / "studies" / "params.schema.json").read_text()) == json_schema(ROOT / "studies"), (
        "run `make schema`"
    )


def test_the_json_schema_says_what_keys_mean() -> None:
    schema = json_schema(ROOT / "studies")
    training = schema["$defs"]["Training"]["properties"]
    assert training["validate_every"]["description"] == "epochs"
    assert "CPU" in schema["$defs"]["Compute"]["properties"]["threads"]["description"]
    assert schema["properties"]["tune"]["description"].endswith("null takes the values above"), "both lines"
    assert schema["$defs"]["dsdh"]["properties"]["nu"]["description"] == "ridge penalty of the classifier."
    assert "Li, Sun, He & Tan" in schema["$defs"]["Methods"]["properties"]["dsdh"]["description"]


@every_study
def test_the_json_schema_takes_every_study(name: str) -> None:
    jsonschema.validate(params_of(name), json_schema(ROOT / "studies"))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "epochs", 0),
        ("grid", "methods", ["wrr"]),
        ("dataset", "folder", "x"),
        ("split", "protocol", "mine"),
        ("backbone", "model", "resnet18"),
        ("backbone", "weights", ""),
    ],
)
def test_the_json_schema_refuses_what_the_check_refuses(section: str, key: str, value: Any) -> None:
    content = params_of("digits")
    content[section][key] = value
    assert check(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json_schema(ROOT / "studies"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small defaults that a study of the test's goes over."""
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    return tmp_path / "studies"


def test_comments_of_both_files_are_kept(folder: Path) -> None:
    own = """\
# Mine, with more bits.

grid:
  bits: [8, 128]   # short and long
training:
  optimizer:
    schedule: constant
split:
  protocol: wr
"""
    (folder / "mine.yaml").write_text(own)
    text = studies.compose("mine", folder)
    lines = text.splitlines()
    assert lines[1] == "# Mine, with more bits."
    assert "study: mine                   # outputs go to results/<study>; MLflow experiment of the same name" in lines
    assert ["bits:", "[8,", "128]", "#", "short", "and", "long"] in [line.split() for line in lines]
    assert "    schedule: constant        # constant | cosine" in lines
    assert "per_class" not in text, "the numbers of another protocol are gone"
    assert sections(text) == sections((folder / "defaults.yaml").read_text())


def sections(text: str) -> list[str]:
    return re.findall(r"^\w+(?=:)", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("grid:\n  bitts: [8]\n", "mine.yaml: grid.bitts: unknown key (did you mean 'bits'?)"),
        ("gird:\n  bits: [8]\n", "mine.yaml: gird: no such section in defaults.yaml"),
        ("grid: [\n", "mine.yaml: line 1: not YAML"),
        ("- 1\n", "mine.yaml: expected sections such as"),
        ("grid:\n  bits: [8]\n  bits: [9]\n", "line 3: the key 'bits' occurs twice"),
    ],
)
def test_a_wrong_study_is_one_line_and_writes_nothing(folder: Path, text: str, line: str) -> None:
    (folder / "mine.yaml").write_text(text)
    params = folder.parent / "params.yaml"
    with pytest.raises(UserError) as caught:
        studies.write("mine", folder=folder, params=params)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert not params.exists()


def test_another_study_that_is_invalid_or_empty_does_no_harm(folder: Path) -> None:
    params = folder.parent / "params.yaml"
    studies.write("digits", folder=folder, params=params)
    (folder / "broken.yaml").write_text("grid: [\n")
    (folder / "empty.yaml").touch()
    studies.write("wr-small", folder=folder, params=params)
    params.write_text(params.read_text().replace("epochs: 8", "epochs: 9"))
    with pytest.raises(UserError, match="has edits that git doesn't have"):
        studies.write("digits", folder=folder, params=params)
    assert "\n  empty " in studies.listed(folder)


def test_an_unknown_study_is_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no study 'wr-smal' \(did you mean 'wr-small'\?\); known: cifar10-cpu, "):
        studies.compose("wr-smal", folder)


@pytest.mark.slow
def test_edits_that_git_does_not_have_are_not_overwritten(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-q", "-m", "start")
    file = project.folder / "params.yaml"

    def study(*arguments: str) -> subprocess.CompletedProcess[str]:
        return project.run("python", "-m", "pipeline", "study", *arguments, check=False)

    said = study("wr-small")
    assert said.returncode == 0, "what git has is not lost"
    assert "  study: digits -> wr-small" in said.stdout.splitlines()
    assert "  grid.bits: [16] -> [16, 32]" in said.stdout.splitlines()
    assert study("digits").returncode == 0, "nor is what a study has"

    edited = file.read_text().replace("epochs: 8", "epochs: 9")
    file.write_text(edited)
    refused = study("wr-small")
    assert refused.returncode == 1 and refused.stdout == "" and file.read_text() == edited
    found = "error: params.yaml has edits that git doesn't have (training.epochs: 8 -> 9); commit it or copy it away"
    assert refused.stderr == f"{found} first, or say FORCE=1 (--force) to overwrite it\n"
    file.write_text(studies.compose("digits", project.folder / "studies") + "# a remark\n")
    assert "(comments)" in study("wr-small").stderr
    assert study("wr-small", "--force").returncode == 0
    file.write_text(edited)
    project.run("git", "commit", "-q", "-a", "-m", "nine epochs")
    assert study("wr-small").returncode == 0
    assert "no study 'nope'" in study("nope").stderr
    assert "  wr-small " in study().stdout


def test_what_is_no_yaml_is_replaced_when_told_so(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("study: [\n")
    with pytest.raises(UserError, match="has edits that git doesn't have"):
        studies.write("digits", folder=ROOT / "studies", params=params)
    studies.write("digits", folder=ROOT / "studies", params=params, force=True)
    assert read(params)["study"] == "digits"
    assert not list(tmp_path.glob("*.partial"))
