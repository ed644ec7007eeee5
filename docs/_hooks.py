"""mkdocs: pages that are kept outside docs/ because people read them in the repository; tables that can be sorted."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
#: Page of the site -> file of the repository.
PAGES = {"benchmarks.md": "benchmarks/README.md", "changelog.md": "CHANGELOG.md"}
#: What sorts tables is the report's.
SCRIPT = "pipeline/report/sort.js"
#: A number at the start of a cell; percentages, spreads and units may follow.
NUMBER = re.compile(r"(?:<strong>)?([+-]?\d[\d,]*(?:\.\d+)?)(?![\w.-])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in {**PAGES, "sort.js": SCRIPT}.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Links to those pages lead to the site's own; links to other files of the repository become their names."""
    for page, source in PAGES.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}")
    return re.sub(r"\[`?([^\]`]+)`?\]\(\.\./[^)]+\)", r"`\1`", markdown)


def on_page_content(html: str, **_: object) -> str:
    """Make tables sortable; cells that begin with a number are sorted by it."""
    html = re.sub(r"<td[^>]*>(.*?)</td>", _with_value, html, flags=re.DOTALL)
    return re.sub(r"<table>.*?</table>", r'<div class="sortable">\g<0></div>', html, flags=re.DOTALL)


def _with_value(cell: re.Match[str]) -> str:
    number = NUMBER.match(cell[1])
    return cell[0].replace("<td", f'<td data-value="{number[1].replace(",", "")}"', 1) if number else cell[0]
