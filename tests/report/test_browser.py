"""The report as a browser shows it: opened from disk, the network off, on a phone and on a screen."""

import os
from pathlib import Path

import pytest
from browser import Page, chromium

# The rules of axe-core: `make test` fetches them by hash (requirements/axe.lock).
AXE = Path(__file__).parents[2] / ".venv" / "axe" / "axe_playwright_python" / "axe.min.js"
PHONE, SCREEN = 390, 1280
KINDS = ["full", "one_day", "plates_only", "no_control"]


def missing(text):
    """Skip for a user who lacks a tool; the gate, .ci/run, lacks none."""
    (pytest.fail if os.environ.get("EVERY_TOOL") else pytest.skip)(text)


@pytest.fixture(scope="module")
def opened(report, tmp_path_factory):
    """A function that opens the report of a kind of case in a window of a width."""
    if chromium() is None:
        missing("no chromium (Debian: chromium) to open the report with")
    pages: dict[tuple, Page] = {}

    def open_page(kind: str, width: int) -> Page:
        if (kind, width) not in pages:
            url = (report(kind) / "results" / "report" / "report.html").as_uri()
            pages[kind, width] = Page(url, width, 800, tmp_path_factory.mktemp("browser"))
        return pages[kind, width]

    yield open_page
    for page in pages.values():
        page.close()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_fails_and_nothing_is_asked_of_the_network(opened, kind):
    page = opened(kind, SCREEN)
    requests = [
        event["params"]["request"]["url"]
        for event in page.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert requests[0].startswith("file://")
    assert all(url.startswith("data:") for url in requests[1:])
    bad = ("Network.loadingFailed", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.")
    assert [event for event in page.events if event["method"].startswith(bad)] == []


@pytest.mark.parametrize("width", [PHONE, SCREEN])
@pytest.mark.parametrize("kind", KINDS)
def test_page_is_as_wide_as_the_window_and_every_figure_is_seen(opened, kind, width):
    page = opened(kind, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        "[...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])"
    )
    assert sizes
    assert all(done and natural > 0 and 200 < shown <= width for done, natural, shown in sizes)


@pytest.mark.parametrize("width", [PHONE, SCREEN])
@pytest.mark.parametrize("kind", KINDS)
def test_rules_of_axe_pass(opened, kind, width):
    if not AXE.is_file():
        missing("no axe-core: `make test` fetches it")
    page = opened(kind, width)
    page.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
    broken = page.evaluate(
        "axe.run(document).then(found => found.violations.flatMap("
        "rule => rule.nodes.map(node => rule.id + ': ' + node.html.slice(0, 300))))"
    )
    assert broken == []


def test_axe_would_find_what_is_broken(opened):
    # So that the test above can fail: an image without words and text too pale to read.
    if not AXE.is_file():
        missing("no axe-core: `make test` fetches it")
    page = opened("plates_only", PHONE)
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend', "
        '\'<div id=broken><img src="data:,"><p style="color:#ccc">pale</p></div>\')'
    )
    page.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
    found = page.evaluate(
        "axe.run('#broken').then(found => found.violations.map(rule => rule.id).sort())"
    )
    page.evaluate("document.getElementById('broken').remove()")
    assert {"color-contrast", "image-alt"} <= set(found)


def test_table_sorts_both_ways_by_value(opened):
    page = opened("full", SCREEN)
    column = (
        "[...document.querySelectorAll('#table-1 tbody tr')].map(row => row.cells[0].textContent)"
    )
    before = page.evaluate(column)
    head = "document.querySelector('#table-1 th')"
    for order, expected in (("ascending", sorted(before)), ("descending", sorted(before)[::-1])):
        page.evaluate(f"{head}.querySelector('button').click()")
        assert page.evaluate(column) == expected
        assert page.evaluate(f"{head}.getAttribute('aria-sort')") == order
    # A column of numbers: as numbers, not as text, and cells without one at the end.
    place = page.evaluate(
        "[...document.querySelectorAll('td[data-key]')].map(c => [c.closest('.table').id, c.cellIndex])[0]"
    )
    cells = f"[...document.querySelectorAll('#{place[0]} tbody tr')].map(r => r.cells[{place[1]}].dataset.key)"
    page.evaluate(f"document.querySelectorAll('#{place[0]} th button')[{place[1]}].click()")
    keys = page.evaluate(cells)
    numbers = [float(key) for key in keys if key is not None]
    assert len(numbers) > 1
    assert numbers == sorted(numbers)
    assert [key is None for key in keys] == sorted(key is None for key in keys)


def test_table_filters_by_words(opened):
    page = opened("full", SCREEN)
    typed = (
        "(words => { const box = document.querySelector('.filter input'); box.value = words;"
        " box.dispatchEvent(new Event('input'));"
        " return [...box.closest('.table').querySelectorAll('tbody tr:not([hidden])')]"
        ".map(row => row.textContent) })"
    )
    every = page.evaluate(f"{typed}('')")
    assert page.evaluate(f"{typed}('nothing has these words')") == []
    word = every[0].split()[0][:4]
    found = page.evaluate(f"{typed}({word!r})")
    assert found == [row for row in every if word.lower() in row.lower()]
    assert page.evaluate(f"{typed}('')") == every


def test_figure_enlarges_by_keyboard_and_comes_back(opened):
    page = opened("full", SCREEN)
    open_now = "document.getElementById('enlarged').open"
    page.evaluate("document.querySelector('.enlarge').focus()")
    small = page.evaluate("document.querySelector('.enlarge img').getBoundingClientRect().width")
    page.press("Enter", 13, "\r")
    assert page.evaluate(open_now)
    assert (
        page.evaluate("document.querySelector('#enlarged img').getBoundingClientRect().width")
        > small
    )
    assert page.evaluate("document.querySelector('#enlarged img').alt.length") > 20
    page.press("Escape", 27)
    page.wait_for(f"!{open_now}")
    assert page.evaluate("document.activeElement.className") == "enlarge"


def test_first_key_skips_to_the_content_and_focus_is_seen(opened):
    page = opened("no_control", SCREEN)
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    for _ in range(40):
        page.press("Tab", 9)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_links_of_figures_save_their_data(opened, report):
    page = opened("full", SCREEN)
    link = "document.querySelector('figure .sources a')"
    name = page.evaluate(f"{link}.download")
    text = page.evaluate(f"fetch({link}.href).then(answer => answer.text())")
    data = report("full") / "results" / "figures" / name
    assert text == data.read_text(encoding="utf-8")


def test_print_leaves_out_what_paper_cannot_do_and_cuts_nothing(opened):
    page = opened("full", SCREEN)
    page.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('{}')].filter(e => e.getClientRects().length).length"
    for selector in ("nav", ".filter", ".skip"):
        assert page.evaluate(shown.format(selector)) == 0
    # A table that scrolls on a screen is there in full.
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every(e => e.scrollHeight <= e.clientHeight + 1)"
    )
    pdf = page.call("Page.printToPDF", preferCSSPageSize=True)["data"]
    assert pdf.startswith("JVBERi0")  # %PDF-
    page.call("Emulation.setEmulatedMedia", media="")
