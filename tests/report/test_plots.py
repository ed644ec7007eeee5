"""`dvc plots show`: what the page draws, by the values that it holds and its own filters."""

import json
import re

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.xdist_group("finished")


def specifications(html: str) -> list[dict]:  # type: ignore[type-arg]
    """The Vega-Lite specifications of the page."""
    found = []
    for start in re.finditer(r"var spec = ", html):
        content, _ = json.JSONDecoder().raw_decode(html[start.end() :])
        found.append(content)
    return found


def test_epochs_without_validation_are_not_drawn_as_zero(finished: Project) -> None:
    finished.run("dvc", "plots", "show", "-o", "shown")
    specs = specifications((finished.folder / "shown" / "index.html").read_text(encoding="utf-8"))
    assert len(specs) == 3
    drawn = {}
    for spec in specs:
        title = spec["title"]["text"]
        layers = spec["spec"].get("layer", [spec["spec"]])
        (field,) = {layer["encoding"]["y"]["field"] for layer in layers if "y" in layer.get("encoding", {})} or {
            spec["spec"]["encoding"]["y"]["field"]
        }
        values = [row[field] for row in spec["data"]["values"]]
        filters = [part["filter"] for part in spec.get("transform", [])]
        if filters:
            assert filters == [f"isValid(datum['{field}']) && datum['{field}'] !== ''"]
            values = [value for value in values if value not in ("", None)]
        drawn[title] = [float(value) for value in values]
    assert drawn.keys() == {"mAP by quantizer", "Validation mAP", "Loss"}
    assert len(drawn["Validation mAP"]) == 4, "one of two epochs was validated, of four groups"
    assert all(value > 0.05 for values in drawn.values() for value in values)


def test_there_is_one_file_of_metrics_with_one_number_a_group(finished: Project) -> None:
    found = json.loads(finished.run("dvc", "metrics", "show", "--json").stdout)
    (data,) = [revision["data"] for revision in found.values()]
    ((name, content),) = data.items()
    assert name.endswith("tables/map.json")
    assert content["data"].keys() == {"csq-original-16", "csq-wr-16", "dsdh-original-16", "dsdh-wr-16"}
    assert max(map(len, finished.run("dvc", "metrics", "show").stdout.splitlines())) <= 120
