"""The compiled report: whole, self-contained, accessible, the same in both forms, texts as text."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest
from example_report import chapters_of, run_in_process
from example_tables import TRICKY, write_example
from hypothesis import given
from hypothesis import strategies as st

from immunotrace.errors import InputError
from immunotrace.figures import FIGURES
from immunotrace.report import blocks, markdown
from immunotrace.report.document import read_document
from immunotrace.report.html import render_html
from immunotrace.report.pdf import render_pdf
from immunotrace.tables import read_tsv, write_tsv

KINDS = ["full", "one_day", "plates_only", "no_control"]
VOID = {"meta", "img", "input", "br", "hr", "link"}


class Page(HTMLParser):
    """The elements of a page, with its texts; complains of tags that do not match."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], []
        self.feed(source)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(report):
    def make(kind, texts=False):
        path = report(kind, texts) / "results" / "report" / "report.html"
        return Page(path.read_text(encoding="utf-8"))

    return make


def case_of(folder):
    return json.loads((folder / "results" / "report" / "case.json").read_text(encoding="utf-8"))


def document_of(folder):
    chapters = folder / "results" / "report" / "chapters"
    case = case_of(folder)
    return read_document([chapters / f"{name}.ipynb" for name in chapters_of(case)], case)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_from_outside(page, kind):
    for _, attributes in page(kind).elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in attributes:
                assert attributes[name].startswith(("#", "data:")), attributes[name][:80]
    policy = next(m["content"] for m in page(kind).all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize("kind", KINDS)
def test_links_inside_arrive_and_ids_are_unique(page, kind):
    ids = [attributes["id"] for _, attributes in page(kind).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page(kind).elements:
        for name in ("aria-labelledby", "href"):
            target = attributes.get(name, "")
            if name == "aria-labelledby" or target.startswith("#"):
                assert not target or target.lstrip("#") in ids


@pytest.mark.parametrize("kind", KINDS)
def test_headings_are_in_order_and_figures_have_words(page, kind):
    levels = [int(tag[1]) for tag, _ in page(kind).elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    images = page(kind).all("img")
    assert images
    assert all(len(image["alt"]) > 20 for image in images)
    assert len(page(kind).all("figure")) == len(page(kind).all("figcaption"))


def test_every_figure_and_table_carries_what_it_is_made_from(page):
    links = [a for a in page("full").all("a") if "download" in a]
    saved = {link["download"].removesuffix(".gz") for link in links}
    assert {"draw_figures.py", "t_cells.ipynb", "clinical_course.tsv", "markers.tsv"} <= saved
    for link in links:
        kind, _, packed = link["href"].partition(";base64,")
        content = base64.b64decode(packed)
        assert kind in ("data:text/plain", "data:application/gzip")
        assert gzip.decompress(content) if link["download"].endswith(".gz") else content


def test_simulated_data_are_called_so_and_real_ones_are_not(report, page):
    assert "Simulated data." in "".join(page("full").texts)
    assert not re.search(r"\b[Ss]imulat", "".join(page("no_control").texts))


@pytest.mark.parametrize(
    ("kind", "missing", "said"),
    [
        ("one_day", "Steroid sensitivity", "No plates: the report has no chapter on steroid"),
        ("one_day", "B cells", "No panel of B cells"),
        ("one_day", "Clinical course", "No clinical course"),
        ("plates_only", "T cells", "No flow cytometry: the report has no chapters on T and B"),
    ],
)
def test_what_there_is_no_data_for_is_left_out_and_said(report, page, kind, missing, said):
    titles = [chapter["title"] for chapter in document_of(report(kind))["chapters"]]
    assert missing not in titles
    assert said in "".join(page(kind).texts)


def test_claims_come_first_with_their_verdicts(page):
    text = " ".join("".join(page("full").texts).split())
    assert re.search(r"Of 5 claims, \d (is|are) supported", text)
    assert text.index("CCR4 on T cells") < text.index("Clinical course Days count")


@pytest.mark.parametrize("kind", KINDS)
def test_figures_and_tables_are_numbered_through(report, kind):
    document = document_of(report(kind))
    for wanted in ("figure", "table"):
        numbers = [
            block["number"]
            for chapter in document["chapters"]
            for block in chapter["blocks"]
            if block["kind"] == wanted
        ]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers


def test_texts_of_files_stay_text_in_html(page):
    for kind in ("full", "one_day"):
        odd = page(kind, texts=True)
        assert TRICKY in "".join(odd.texts)
        assert len(odd.all("script")) == 1  # ours
        assert not odd.all("b")


def test_same_document_same_pdf(report):
    folder = report("full")
    made = folder / "results" / "report" / "report.pdf"
    time.sleep(1.1)  # so that a time written in seconds would show
    assert render_pdf(document_of(folder), folder / "results") == made.read_bytes()


def pdf_text(path):
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext (Debian: poppler-utils) to read the PDF with")
    done = subprocess.run(["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True)
    return done.stdout.decode("utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_both_forms_have_the_same_chapters_in_one_order(report, page, kind):
    titles = [chapter["title"] for chapter in document_of(report(kind))["chapters"]]
    assert len(page(kind).all("h2")) == len(titles)
    text = pdf_text(report(kind) / "results" / "report" / "report.pdf")
    lines = [line.strip() for line in text.splitlines() if " . . " in line]
    contents = [re.sub(r"[ .\u2060]+\d+$", "", line) for line in lines]
    assert contents == titles


def test_pdf_marks_every_page_of_simulated_data(report):
    pages = pdf_text(report("full") / "results" / "report" / "report.pdf").split("\f")[:-1]
    assert all("SIMULATED DATA" in text for text in pages)
    assert f"1 / {len(pages)}" in pages[0]
    real = pdf_text(report("no_control") / "results" / "report" / "report.pdf").split("\f")
    assert "Simulated" not in real[0]


def test_checksums_are_copied_from_the_pdf_as_they_are(report):
    text = pdf_text(report("full") / "results" / "report" / "report.pdf")
    assert "\u200b" not in text  # nothing that is not seen
    for entry in case_of(report("full"))["inputs"]:
        # A copied cell may come in two lines.
        assert entry["sha256"] in re.sub(r"\s+", "", text)


def test_texts_of_files_stay_text_in_pdf(report):
    text = pdf_text(report("full", texts=True) / "results" / "report" / "report.pdf")
    words = re.sub(r"[\s\u200e]+", "", text)
    assert "<script>alert(1)</script><b>x</b>&\"q\"'a'#letx=1$y$@ref\\n*b*_i_[l](u)`c`" in words
    # The fonts have Arabic and Hebrew; what they lack is named, not lost.
    assert "[U+1F9EC]" in words
    assert "[U+65E5][U+672C]" in words


@given(st.text(max_size=60))
def test_any_text_goes_through_html_unchanged(text):
    document = {
        "title": text,
        "simulated": False,
        "scenario": None,
        "chapters": [
            {
                "name": "c",
                "id": "c",
                "title": "C",
                "blocks": [{"kind": "prose", "paragraphs": [text]}],
            }
        ],
    }
    # A page has line ends of one kind, and no text holds a null or a lone surrogate.
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = "".join(
        Page(render_html(document, ".").replace("\r\n", "\n").replace("\r", "\n")).texts
    )
    assert shown.count(wanted) >= 2


def test_notebook_that_was_not_run_is_refused(tmp_path):
    cell = {"cell_type": "code", "execution_count": None, "outputs": [], "source": "1"}
    path = tmp_path / "summary.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(InputError, match="not run"):
        read_document([path], {"title": "t", "simulated": False})


def test_figure_without_data_is_left_out(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(blocks, "publish_display_data", shown.append)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "f.png").write_bytes(b"")
    for data in ("", "a\tb\n"):
        (tmp_path / "figures" / "f.tsv").write_text(data)
        blocks.figure(tmp_path, "f", "caption", "alt")
    assert shown == []
    (tmp_path / "figures" / "f.tsv").write_text("a\tb\n1\t2\n")
    blocks.figure(tmp_path, "f", "caption", "alt")
    assert shown[0][blocks.MIME]["name"] == "f"


def test_markdown_knows_what_the_notebooks_use():
    nodes = markdown.parse(
        "# A *b*\n\nOne **two** `three` [four](http://x.y)\n\n- a\n- b\n\n<b>no</b>"
    )
    assert [node["kind"] for node in nodes] == ["heading", "paragraph", "list", "paragraph"]
    assert markdown.plain(nodes[0]["inline"]) == "A b"
    assert markdown.plain(nodes[1]["inline"]) == "One two three four"
    assert len(nodes[2]["items"]) == 2
    assert markdown.plain(nodes[3]["inline"]) == "<b>no</b>"


@given(st.text("ab*_`[]()<>#-\n ", max_size=40))
def test_markdown_never_fails(source):
    assert isinstance(markdown.parse(source), list)


def test_gates_that_were_moved_by_hand_are_named(small_figure, monkeypatch, tmp_path):
    write_example(tmp_path, "full", False)
    figures = tmp_path / "results" / "figures"
    figures.mkdir()
    for name in FIGURES["quality"]:
        for path in small_figure.parent.iterdir():
            shutil.copy(path, figures / f"{name}{path.suffix}")
    table = tmp_path / "results" / "tables" / "populations.tsv"
    populations = read_tsv(table)
    populations.loc[4, "gate_origin"] = "moved"
    write_tsv(populations, table)
    chapter = run_in_process("quality", tmp_path, monkeypatch)
    shown = chapter.read_text(encoding="utf-8")
    assert "placed on the data and 1 moved by hand" in shown
    assert "Gates that were moved by hand." in shown
    assert "Channels with 1 % or more of a file's events at an end" in shown


def chapter_of(name, kind, folder, small_figure, patch, change):
    """The text of a chapter of an example whose tables and case were changed."""
    write_example(folder, kind)
    figures = folder / "results" / "figures"
    figures.mkdir()
    for group in FIGURES.values():
        for figure in group:
            for path in small_figure.parent.iterdir():
                shutil.copy(path, figures / f"{figure}{path.suffix}")
    described = folder / "results" / "report" / "case.json"
    case = json.loads(described.read_text(encoding="utf-8"))
    tables = {p.stem: read_tsv(p) for p in (folder / "results" / "tables").glob("*.tsv")}
    change(case, tables)
    described.write_text(json.dumps(case), encoding="utf-8")
    for table, frame in tables.items():
        write_tsv(frame, folder / "results" / "tables" / f"{table}.tsv")
    chapter = run_in_process(name, folder, patch)
    shown = [
        output["data"][blocks.MIME]
        for cell in json.loads(chapter.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
    ]
    return json.dumps(shown, ensure_ascii=False)


def test_the_summary_claims_no_more_than_the_design_has(small_figure, monkeypatch, tmp_path):
    def one_baseline_day_and_no_curve(case, tables):
        case["timeline"] = [row for row in case["timeline"] if row["kind"] != "drug"]
        case["inputs"] = [entry for entry in case["inputs"] if entry["day"] != -14]
        tables["curves"] = tables["curves"].iloc[:0]

    told = chapter_of(
        "summary", "no_control", tmp_path, small_figure, monkeypatch, one_baseline_day_and_no_curve
    )
    assert "One person was followed, without randomisation." in told
    assert "other drugs" not in told
    assert "without two baseline days, nothing here shows what variation is usual" in told
    assert "with methylprednisolone; no curves fitted." in told
    assert "No plates" not in told


def test_what_happened_outside_the_window_stands_beside_the_verdict(
    small_figure, monkeypatch, tmp_path
):
    def late(case, tables):
        tables["claims"]["outside_window"] = pd.Series(["day 150: above 250 ng/ml"], dtype=object)

    told = chapter_of("summary", "full", tmp_path, small_figure, monkeypatch, late)
    assert '"label": "Outside the window"' in told
    assert "day 150: above 250 ng/ml" in told


def test_with_several_drugs_each_ic50_is_told_of_its_own(small_figure, monkeypatch, tmp_path):
    def two_drugs(case, tables):
        rows = tables["changes"].astype({"bound": object})
        ic50 = rows["measurement"].str.endswith("_ic50") & (rows["subject"] == case["patient"])
        rows.loc[ic50, ["verdict", "drug", "bound"]] = ["increase", "steroid", ""]
        other = rows[ic50].assign(drug="tacrolimus", unit="nM", value=1234.0, bound=">")
        tables["changes"] = pd.concat([rows, other])
        tables["changes"]["control_moved"] = "increase"

    told = chapter_of("steroid_sensitivity", "full", tmp_path, small_figure, monkeypatch, two_drugs)
    assert "Absolute IC50 of steroid above" in told
    assert (
        "Absolute IC50 of tacrolimus above its reference band on days 21, 70 and 150: more than 1,234 nM"
        in told
    )
    assert "The control moved the same way on days 21, 70 and 150." in told


def test_an_ic50_that_cannot_be_judged_is_not_called_unchanged(small_figure, monkeypatch, tmp_path):
    def absolute_unjudged(case, tables):
        rows = tables["changes"]
        rows["verdict"] = "no_change"
        rows.loc[rows["measurement"] == "absolute_ic50", "verdict"] = "no_yardstick"

    told = chapter_of(
        "steroid_sensitivity", "full", tmp_path, small_figure, monkeypatch, absolute_unjudged
    )
    assert "No IC50 of the patient that could be judged went beyond" in told
    assert "The absolute IC50 is not judged on days 21, 70 and 150: nothing shows" in told


def test_cautions_stand_where_a_number_is_easily_read_as_more_than_it_is(
    small_figure, monkeypatch, tmp_path
):
    def low_medians(case, tables):
        markers = tables["markers"]
        markers["threshold"] = 100.0
        markers["median_all"] = markers["median_all"].where(markers["marker"] != "CCR4", 99.0)
        others = markers["marker"] != "CCR4"
        markers.loc[others, "median_all"] = 101.0

    told = chapter_of("t_cells", "full", tmp_path, small_figure, monkeypatch, low_medians)
    assert "Most medians lie below the marker's threshold for CCR4 (in " in told

    def levelled_off(case, tables):
        curves = tables["curves"]
        last = (curves["subject"] == case["patient"]) & (curves["day"] == curves["day"].max())
        curves[["call", "bound"]] = curves[["call", "bound"]].astype(object)
        curves.loc[last, ["call", "bound"]] = ["censored", ">"]
        curves.loc[last, "relative_ic50"] = 4.6

    told = chapter_of(
        "steroid_sensitivity", "full", tmp_path / "more", small_figure, monkeypatch, levelled_off
    )
    assert "the curve levels off before half of the proliferation is inhibited" in told


def test_the_course_is_that_of_the_patient(small_figure, monkeypatch, tmp_path):
    def a_control_that_was_treated(case, tables):
        rescue = {"kind": "rescue", "name": "of the control", "day": 9, "end_day": None}
        case["timeline"].append(case["timeline"][0] | rescue | {"subject": "HC01"})

    told = chapter_of(
        "timeline", "full", tmp_path, small_figure, monkeypatch, a_control_that_was_treated
    )
    assert "of the control (day 9)" not in told
    assert '"label": "Subject"' in told


def test_changes_that_the_control_shared_or_that_cannot_be_judged_are_told(
    small_figure, monkeypatch, tmp_path
):
    def part_unjudged(case, tables):
        rows = tables["changes"]
        rows["control_moved"] = rows["verdict"].where(rows["verdict"] == "decrease")
        rows.loc[rows["population"].fillna("").str.endswith("CD8"), "verdict"] = "no_yardstick"

    told = chapter_of("t_cells", "full", tmp_path, small_figure, monkeypatch, part_unjudged)
    assert "The control moved the same way on day 21." in told
    assert "3 series could not be judged." in told
    assert "it has no interval" not in told


def test_no_text_of_a_file_turns_ours_round(tmp_path):
    turned = "drug \u202ederever\u2066"
    block = {
        "kind": "table",
        "caption": turned,
        "rows": [[turned]],
        "columns": [],
        "sort": [],
        "source": None,
    }
    cell = {
        "cell_type": "code",
        "source": "x",
        "execution_count": 1,
        "outputs": [{"data": {blocks.MIME: block}}],
    }
    path = tmp_path / "c.ipynb"
    title = {"cell_type": "markdown", "source": "# C"}
    path.write_text(json.dumps({"cells": [title, cell]}), encoding="utf-8")
    document = read_document([path], {"title": turned, "simulated": False})
    shown = json.dumps(document, ensure_ascii=False)
    assert shown.count("drug [U+202E]derever[U+2066]") == 3
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", shown)
