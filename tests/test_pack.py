"""The pack for others: what goes in, and what stops it."""

import json
import zipfile

import pytest

from immunotrace.errors import InputError
from immunotrace.share import pack_results, private_words, words_of


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A results folder of four files, with one raw plate beside it and a program of few words."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "report/report.html": "<p>Fraction of cells</p>",
        "report/report.pdf": "%PDF",
        "report/case.json": json.dumps({"title": "case P01"}),
        "report/record.json": "{}",
        "report/code.json": "{}",
        "report/what_is_new.json": "{}",
        "tables/wells.tsv": "plate\tvalue\nP01\t100\n",
        "figures/f.svg": "<svg><!-- Fraction --></svg>",
    }.items():
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    describe(tmp_path / "results")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/p.txt").write_text("Patient O'Qvist Fraction, 00471190\n\t1\t2\nA\t5\t6\n")
    (tmp_path / "immunotrace").mkdir()
    (tmp_path / "immunotrace/words.py").write_text("# Fraction of cells\n")
    return tmp_path / "results"


def describe(results):
    """A crate that describes the files that are there."""
    files = [p.relative_to(results).as_posix() for p in results.rglob("*") if p.is_file()]
    graph = [{"@id": name, "@type": "File"} for name in files if "ro-crate" not in name]
    graph += [{"@id": "#acquisition/P01", "@type": "File"}, {"@id": "./", "@type": "Dataset"}]
    (results / "ro-crate-metadata.json").write_text(json.dumps({"@graph": graph}))


def pack(results):
    archive = results / "share.zip"
    pack_results(results, ["raw/p.txt"], ".", archive)
    return archive


def test_a_pack_has_the_results_without_times(results):
    archive = pack(results)
    first = archive.read_bytes()
    (results / "tables/wells.tsv").touch()
    assert pack(results).read_bytes() == first
    left = results / "figures/of_a_day_that_was_taken_out.tsv"
    left.write_text("P02")
    assert pack(results).read_bytes() == first
    with zipfile.ZipFile(archive) as content:
        assert {entry.date_time[0] for entry in content.infolist()} == {1980}
        assert {"tables/wells.tsv", "ro-crate-metadata.json"} <= set(content.namelist())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report/report.html", "<p>Plate of Q&#118;ist</p>"),
        ("tables/wells.tsv", "plate\tnote\nP01\t00471190\n"),
        ("figures/f.svg", "<svg><!-- qvist --></svg>"),
        ("report/case.json", '{"title": "case P01"}\n QVIST'),
    ],
)
def test_a_word_of_a_raw_file_stops_it(results, name, text):
    if name.endswith("case.json"):
        name = "report/record.json"
    (results / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="words of raw files") as error:
        pack(results)
    assert name in str(error.value)
    assert "vist" not in str(error.value).lower()
    assert not (results / "share.zip").exists()


def test_a_file_of_another_kind_stops_it(results):
    (results / "tables/raw.fcs").write_bytes(b"FCS3.1")
    describe(results)
    with pytest.raises(InputError, match=r"raw\.fcs - only \.html"):
        pack(results)


def test_words_of_the_sheets_and_of_the_program_are_no_leak(results):
    (results / "report/case.json").write_text(json.dumps({"title": "Qvist"}))
    (results / "tables/wells.tsv").write_text("name\nQvist\nFraction\n")
    assert pack(results).is_file()


@pytest.mark.parametrize("name", ["tables/wells.tsv", "cytometry/run1/pages.zip/P01.svg"])
def test_a_date_of_a_raw_file_stops_it_and_the_pages_of_the_supplement_are_searched(results, name):
    (results.parent / "raw/p.txt").write_text("P01 born 12-MAR-1970\n", encoding="utf-8")
    assert pack(results).is_file()
    path = results / name
    text = "<!-- 12-Mar-1970 -->"
    if path.parent.suffix == ".zip":
        path.parent.parent.mkdir(parents=True)
        with zipfile.ZipFile(path.parent, "w") as pages:
            pages.writestr(path.name, text)
    else:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"{name} holds 1 of raw/p.txt"):
        pack(results)


def test_private_words_of_a_workspace_are_those_of_its_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.wsp"
    path.write_text(
        '<Workspace><DataSet uri="file:/C:/O%27Qvist.fcs"/><Keywords><Keyword name="$SRC" value="Mirabella"/>'
        '<Keyword name="$CYT" value="Aurora"/></Keywords><SampleNode name="Holm"><Population name="Naive"/>'
        "</SampleNode></Workspace>"
    )
    assert private_words(path) == {"qvist", "mirabella", "holm"}


def test_private_words_of_a_plate(results):
    assert private_words("raw/p.txt") == {"patient", "qvist", "fraction", "00471190"}
    assert words_of(["0.123456 1234567.5 P12 ab"]) == set()
