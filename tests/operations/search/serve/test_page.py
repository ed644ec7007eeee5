"""The page in a real browser: uploads, results, history, keys, small and dark screens."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.browser import CHROMIUM, Browser
from tests.operations.search.serve.serving import COUNT, Server, digits, picture, served, vectors_index

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine; install Debian's chromium to run these tests"
)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def page(chrome: Browser, server: Server) -> Iterator[Browser]:
    """The page at its start, on a wide light screen. Nothing may go wrong in it, or ask another server."""
    chrome.problems.clear()
    chrome.requests.clear()
    chrome.size(1280, 900)
    chrome.scheme("light")
    chrome.open(f"{server.address}/")
    yield chrome
    assert chrome.problems == []
    assert [one for one in chrome.requests if not one.startswith((server.address, "blob:"))] == []


def text(page: Browser, selector: str) -> str:
    found: str = page.js(f"document.querySelector({json.dumps(selector)}).innerText")
    return found


def shown(page: Browser) -> list[int]:
    """Ids of the results."""
    found: list[int] = page.js("[...document.querySelectorAll('#list a')].map(a => Number(a.dataset.id))")
    return found


def settled(page: Browser, title: str) -> None:
    page.wait(f"document.getElementById('title').textContent === {json.dumps(title)}")
    page.wait("!document.getElementById('results').hasAttribute('aria-busy')")


def focused(page: Browser) -> int:
    found: int = page.js("Number(document.activeElement.dataset.id ?? -1)")
    return found


def test_an_upload_a_result_and_back(page: Browser, server: Server, tmp_path: Path) -> None:
    assert len(shown(page)) == 18 and "200 images (digits) as codes" in text(page, "#about")
    image = picture(np.rot90(digits()[0][3]))
    (tmp_path / "mine.png").write_bytes(image)
    answer = server.ask("/api/search", image).json
    page.give("#file", tmp_path / "mine.png")
    settled(page, "Nearest to mine.png")
    assert shown(page) == [one["id"] for one in answer["results"]]
    assert f"code={answer['code']}" in page.js("location.search")
    assert page.js("document.querySelector('#bits svg').getAttribute('aria-label')") == f"Code {answer['code']}"
    assert page.js("document.getElementById('picture').naturalWidth") == 8, "the upload is shown"
    differing = page.js("[...document.querySelectorAll('#list li svg')].map(s => s.getAttribute('aria-label'))")
    for label, one in zip(differing, answer["results"], strict=True):
        bits = [n + 1 for n, pair in enumerate(zip(one["code"], answer["code"], strict=True)) if pair[0] != pair[1]]
        assert label.partition("; bits that differ: ")[2] == ", ".join(map(str, bits))
        assert len(bits) == one["distance"]
    second = answer["results"][1]
    page.click("#list li:nth-child(2) a")
    settled(page, f"Nearest to image {second['name']}")
    assert shown(page) == [one["id"] for one in server.ask(f"/api/items/{second['id']}/search").json["results"]]
    assert "share" in text(page, "#status") and text(page, "#labels") == second["labels"][0]
    page.js("history.back()")
    settled(page, "Nearest to mine.png")
    assert focused(page) == second["id"], "back at the result that was left"
    assert page.js("document.getElementById('picture').naturalWidth") == 8
    page.js("history.back()")
    settled(page, "Start from one of these")
    page.js("history.forward()")
    settled(page, "Nearest to mine.png")
    page.open(page.js("location.href"))
    settled(page, "Nearest to a code")
    assert shown(page) == [one["id"] for one in answer["results"]], "an address can be shared"


def test_dropped_and_pasted_images(page: Browser, server: Server) -> None:
    for place, (kind, field) in enumerate([("drop", "dataTransfer"), ("paste", "clipboardData")]):
        values = list(picture(digits()[0][7 + place]))
        page.js(
            f"(() => {{ const data = new DataTransfer();"
            f"data.items.add(new File([new Uint8Array({values})], '{kind}.png', {{type: 'image/png'}}));"
            f"const event = new Event('{kind}', {{bubbles: true, cancelable: true}});"
            f"Object.defineProperty(event, '{field}', {{value: data}}); document.body.dispatchEvent(event); }})()"
        )
        settled(page, f"Nearest to {kind}.png")
        assert shown(page) == [
            one["id"] for one in server.ask("/api/search", picture(digits()[0][7 + place])).json["results"]
        ]


def test_sliders_change_the_results(page: Browser, server: Server) -> None:
    page.open(f"{server.address}/?item=9")
    settled(page, "Nearest to image 9")
    assert len(shown(page)) == 20
    changed = "e.dispatchEvent(new Event('input', {{bubbles: true}}))"
    slide = f"(e => {{{{ e.value = {{}}; {changed}; }}}})(document.getElementById('{{}}'))"
    page.js(slide.format(5, "count"))
    page.wait("document.querySelectorAll('#list a').length === 100")
    assert text(page, "#count-shown") == "up to 100" and "count=100" in page.js("location.search")
    page.js(slide.format(2, "radius"))
    page.wait("location.search.includes('radius=2')")
    near = [one["id"] for one in server.ask("/api/items/9/search?count=100&radius=2").json["results"]]
    page.wait(f"document.querySelectorAll('#list a').length === {len(near)}")
    assert shown(page) == near and text(page, "#radius-shown") == "up to 2"
    page.open(page.js("location.href"))
    settled(page, "Nearest to image 9")
    assert shown(page) == near and text(page, "#radius-shown") == "up to 2", "the address has the sliders, too"


def test_everything_works_by_keys(page: Browser) -> None:
    page.press("/")
    assert page.js("document.activeElement.id") == "choose"
    page.js("document.activeElement.blur()")
    first = shown(page)
    columns = page.js(
        "(all => all.filter(a => a.offsetTop === all[0].offsetTop).length)([...document.querySelectorAll('#list a')])"
    )
    page.press("ArrowDown")
    assert focused(page) == first[0]
    page.press("ArrowRight", 2)
    assert focused(page) == first[2]
    page.press("ArrowDown")
    assert focused(page) == first[2 + columns]
    page.press("ArrowUp")
    page.press("ArrowLeft")
    assert focused(page) == first[1]
    page.press("End")
    assert focused(page) == first[-1]
    page.press("Home")
    page.press("Tab")
    assert focused(page) == first[1]
    page.press("Enter")
    settled(page, f"Nearest to image {first[1]}")
    page.wait("document.activeElement.id === 'title'")
    page.press("ArrowRight")
    assert focused(page) == shown(page)[0]
    stops = page.js(
        "[...document.querySelectorAll('a, button, input, summary')]"
        ".filter(e => e.tabIndex >= 0 && e.checkVisibility())"
        ".filter(e => !(e.innerText || e.getAttribute('aria-label') || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert stops == [], "all that has the focus has a name"
    assert page.js("[...document.images].filter(i => !i.hasAttribute('alt')).length") == 0


def test_errors_are_one_line_on_the_page(page: Browser, server: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    page.give("#file", tmp_path / "notes.png")
    page.wait("!document.getElementById('error').hidden")
    assert text(page, "#error").startswith("picture: not an image of a known kind")
    assert page.js("location.search") == "", "the query before stays"
    (tmp_path / "large.png").write_bytes(b"a" * 20_000_001)
    page.give("#file", tmp_path / "large.png")
    page.wait("document.getElementById('error').textContent.startsWith('large.png: 20.0 MB')")
    page.open(f"{server.address}/?item=12345")
    page.wait("!document.getElementById('error').hidden")
    assert text(page, "#error") == f"no item 12345; expected 0 to {COUNT - 1}"
    page.open(f"{server.address}/?item=3&radius=0&count=1")
    settled(page, "Nearest to image 3")
    assert page.js("document.getElementById('error').hidden")
    page.problems[:] = [one for one in page.problems if "status of 4" not in one]  # the browser notes each 4xx


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(page: Browser, server: Server, tmp_path: Path, width: int, scheme: str) -> None:
    page.size(width, 800, phone=width < 500)
    page.scheme(scheme)
    page.open(f"{server.address}/?item=37&count=50")
    settled(page, "Nearest to image 37")
    assert page.js("document.documentElement.scrollWidth") == width, "nothing is wider than the screen"
    page.wait("[...document.querySelectorAll('#list img')].slice(0, 4).every(i => i.complete && i.naturalWidth)")
    assert page.js("getComputedStyle(document.querySelector('#list img')).imageRendering") == "pixelated"
    dark = page.js("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(v => v < 60)")
    assert dark is (scheme == "dark")
    page.screenshot(tmp_path / "page.png")
    assert len(set((tmp_path / "page.png").read_bytes())) > 100, "a blank page has few different bytes"


def test_an_index_of_vectors_takes_text(chrome: Browser, tmp_path: Path) -> None:
    with served(vectors_index(tmp_path / "index"), tmp_path) as server:
        chrome.open(f"{server.address}/")
        assert "50 vectors" in text(chrome, "#about")
        chrome.js("document.getElementById('vector').value = '[0.1, -0.2, 0.3, 0, 1, 2]'")
        chrome.click("#vectors button")
        settled(chrome, "Nearest to the vector")
        chrome.click("#list li:nth-child(3) a")
        chrome.wait("document.getElementById('title').textContent !== 'Nearest to the vector'")
        chrome.js("document.getElementById('vector').value = '[0.1]'")
        chrome.click("#vectors button")
        chrome.wait("document.getElementById('error').textContent.includes('shape (n, 6)')")
