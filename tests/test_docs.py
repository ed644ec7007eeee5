"""Pages: no dead link in the repository or on the site, every make target and command that they name exists."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import commands
from tests.browser import CHROMIUM, Browser
from tests.conftest import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "benchmarks" / "README.md"]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as the usual hosts of repositories make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.MULTILINE)
    plain = [re.sub(r"[`*]|\]\([^)]*\)", "", heading).replace("[", "") for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@every_page
def test_links_of_the_repository_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_commands_and_targets_exist(page: Path) -> None:
    text = page.read_text()
    if page.name == "CHANGELOG.md":
        text = text.split("## 0.2.0")[0]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^|&& )make ([a-z][a-z-]*)", text, re.MULTILINE)) <= targets
    named = set(re.findall(r"python -m pipeline ([a-z][a-z-]*)", text))
    assert named <= commands.commands.keys()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation's site, built without a warning."""
    site = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return site


@pytest.mark.slow
@pytest.mark.xdist_group("site")
def test_the_site_has_all_pages(site: Path) -> None:
    assert "optimal_pairing" in (site / "api.html").read_text()
    for source in ROOT.glob("docs/*.md"):
        fences = source.read_text().count("\n```") // 2
        assert (site / f"{source.stem}.html").read_text().count('<div class="highlight') >= fences, source


@pytest.mark.slow
@pytest.mark.xdist_group("site")
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_tables_of_the_site_are_sorted_by_their_headings(site: Path, tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    browser.open((site / "methods.html").as_uri())
    column = "[...[...document.querySelectorAll('table')].at(3).rows].map(row => row.cells[3].dataset.value)"
    before = browser.js(column)[1:]
    for order in (sorted(before), sorted(before, reverse=True), before):
        browser.js("document.querySelectorAll('.sortable')[3].querySelectorAll('thead button')[3].click()")
        browser.wait(f"JSON.stringify({column}.slice(1)) === {json.dumps(json.dumps(order, separators=(',', ':')))}")
    assert browser.problems == []
    browser.close()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_one_version() -> None:
    """pyproject.toml, CITATION.cff and CHANGELOG.md name the same release and date."""
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]  # type: ignore[index]
    citation = (ROOT / "CITATION.cff").read_text()
    date = re.search(r"^date-released: (.*)$", citation, re.MULTILINE)[1]  # type: ignore[index]
    assert f"\nversion: {version}\n" in citation
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = next(heading for heading in headings if heading != "Unreleased")
    assert released == f"{version} ({date})"
