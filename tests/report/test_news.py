"""Records of runs: what is new between two of them, how they are kept, and how the report tells it."""

import base64
import copy
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from example_tables import CLAIMS, SOFTWARE, write_example
from PIL import Image

from immunotrace.errors import InputError
from immunotrace.history import (
    dumped,
    keep_record,
    news,
    read_history,
    run_record,
    small_picture,
    what_is_new,
)
from immunotrace.report import blocks
from immunotrace.report import news as words
from immunotrace.report.html import render_html
from immunotrace.report.pdf import render_pdf


def entry(day: int, kind: str = "acquisition", content: str = "a") -> dict:
    about = {"subject": "P", "role": "patient", "day": day, "panel": "T", "staining": "full"}
    name = f"P_day{day}" + ("" if kind == "acquisition" else "_plate")
    return {"kind": kind, "name": name, **about, "bytes": 10, "sha256": content * 64}


def number(day: int, value: float, low: float | None = None, high: float | None = None) -> dict:
    about = {"subject": "P", "population": "live/CD4", "marker": "CCR4", "day": day}
    bounds = {"value": value, "low": low, "high": high, "unit": "%"}
    return {"measurement": "percent_positive", "name": f"P_day{day}", **about, **bounds}


def record(days=(-1, 7)) -> dict:
    return {
        "form": "immunotrace run record 1",
        "title": "A case",
        "simulated": False,
        "inputs": [entry(day) for day in days],
        "timeline": [{"subject": "P", "day": 0, "kind": "infusion", "name": "MSC"}],
        "settings": {"cytometry.fmo_quantile": 0.995, "claims.C1.window": [1, 60]},
        "software": {"numpy": "2.4.6"},
        "commit": "0" * 40,
        "numbers": [number(day, 20.0 + day, 19.0 + day, 21.0 + day) for day in days],
        "verdicts": [
            {"kind": "claim", "name": "C1", "title": "CCR4 on T cells", "verdict": "supported"}
        ],
        "figures": {"t_cells": "a" * 64},
    }


def test_the_first_run_has_nothing_to_compare_with():
    found = what_is_new(record(), [])
    assert (found["status"], found["compared_with"]) == ("first", None)
    assert words.is_empty(found)


def test_the_same_again_is_no_change_and_keeps_the_last_news():
    old, new = record((-1,)), record((-1, 7))
    found = what_is_new(new, [old, new])
    assert (found["status"], found["compared_with"]) == ("unchanged", 1)
    assert found == what_is_new(new, [old]) | {"status": "unchanged"}
    only = what_is_new(new, [new])
    assert (only["status"], only["compared_with"]) == ("unchanged", None)
    assert words.is_empty(only)


def test_a_new_day_lists_its_files_and_its_numbers_and_no_others():
    found = what_is_new(record((-1, 7, 14)), [record((-1, 7))])
    assert [e["name"] for e in found["inputs"]["added"]] == ["P_day14"]
    assert found["inputs"]["removed"] == found["inputs"]["changed"] == []
    (new,) = found["numbers"]
    assert (new["day"], new["old"], new["new"], new["difference"]) == (14, None, 34.0, None)
    assert found["settings"] == found["software"] == found["verdicts"] == found["figures"] == []
    assert words.summary(found) == "1 input file added and 1 number is new."


def test_a_moved_threshold_is_named_with_its_consequences():
    new = record()
    new["settings"]["cytometry.fmo_quantile"] = 0.99
    new["numbers"][0]["value"] = 19.5  # inside 18 to 20
    new["numbers"][1]["value"] = 40.0  # outside 26 to 28
    new["verdicts"][0]["verdict"] = "contradicted"
    new["figures"]["t_cells"] = "b" * 64
    found = what_is_new(new, [record()])
    assert found["settings"] == [{"key": "cytometry.fmo_quantile", "old": 0.995, "new": 0.99}]
    told = [(n["old"], n["new"], n["difference"], n["beyond"]) for n in found["numbers"]]
    assert told == [(19.0, 19.5, 0.5, False), (27.0, 40.0, 13.0, True)]
    assert words.turned(found["verdicts"][0]) == (
        "Claim C1 CCR4 on T cells: was supported, is contradicted."
    )
    assert found["figures"] == ["t_cells"]
    assert found["inputs"] == {"added": [], "removed": [], "changed": []}


def test_rounding_is_no_news_and_a_number_without_interval_is_not_beyond_it():
    old, new = record(), record()
    for numbers in (old["numbers"], new["numbers"]):
        numbers[1] |= {"low": None, "high": None}
    new["numbers"][0]["value"] *= 1 + 1e-6
    new["numbers"][1]["value"] = 99.0
    (found,) = what_is_new(new, [old])["numbers"]
    assert (found["day"], found["beyond"]) == (7, None)


def test_changed_and_removed_files_and_entries():
    old, new = record(), record()
    new["inputs"][0] |= {"sha256": "c" * 64, "day": -2}
    del new["inputs"][1]
    new["timeline"][0] = new["timeline"][0] | {"day": 1}
    found = what_is_new(new, [old])
    assert [e["name"] for e in found["inputs"]["removed"]] == ["P_day7"]
    rows = words.input_rows(found).set_index("change")
    assert rows.loc["changed", "about"] == "day was -1, is -2; other content"
    assert words.timeline_rows(found)[["change", "day"]].values.tolist() == [
        ["added", 1],
        ["removed", 0],
    ]


def test_numbers_in_another_unit_are_not_compared():
    old, new = record(), record()
    new["numbers"][1] |= {"unit": "nM", "value": 99.0}
    found = what_is_new(new, [old])["numbers"]
    assert [(n["old"], n["new"], n["beyond"]) for n in found] == [
        (None, 99.0, None),
        (27.0, None, None),
    ]


def test_a_renamed_file_is_known_by_its_content():
    old, new = record(), record()
    new["inputs"][1] = new["inputs"][1] | {"name": "P_later"}
    rows = words.input_rows(what_is_new(new, [old])).set_index("change")
    assert rows.loc["added", "about"].endswith("; the content of P_day7, which is removed")
    assert "content" not in rows.loc["removed", "about"]


def test_another_order_is_told_as_no_more_than_that():
    old, new = record(), record()
    new["timeline"] = old["timeline"] + [{"subject": "P", "day": 3, "kind": "score", "name": "s"}]
    old["timeline"] = new["timeline"][::-1]
    found = what_is_new(new, [old])
    assert words.is_empty(found)
    assert words.summary(found) == "Nothing but the order of entries differs."


def test_a_comparison_is_with_the_last_record_that_differs():
    a, b = record((-1,)), record((-1, 7))
    assert what_is_new(b, [b, a, b])["compared_with"] == 2
    assert what_is_new(b, [a, b, a])["status"] == "changed"


def picture(path: Path, shade: int) -> Path:
    pixels = np.full((40, 1800, 3), shade, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def state(folder: Path, shade: int) -> tuple[dict, list[Path]]:
    """A record whose one figure is of this shade."""
    figure = picture(folder / "t_cells.png", shade)
    return record() | {"figures": {"t_cells": f"{shade:02x}" * 32}}, [figure]


def test_records_are_kept_once_and_pictures_of_the_newest_two(tmp_path):
    history = tmp_path / "history"
    for shade in (10, 20, 20, 30):
        keep_record(*state(tmp_path, shade), history)
    assert sorted(p.name for p in history.glob("*.json")) == [f"000{n}.json" for n in (1, 2, 3)]
    assert len(list((history / "figures").iterdir())) == 2
    assert [r["figures"]["t_cells"][-2:] for r in read_history(history)] == ["0a", "14", "1e"]
    new, figures = state(tmp_path, 40)
    (pair,) = news(new, figures, history)["figures"]
    assert pair["name"] == "t_cells"
    assert pair["old"]
    assert pair["old"] != pair["new"]
    keep_record(new, figures, history, [pair])
    assert (
        base64.b64encode((history / f"figures/{'28' * 8}.png").read_bytes()).decode() == pair["new"]
    )
    assert len(list((history / "figures").iterdir())) == 2
    before = {p: p.read_bytes() for p in history.rglob("*") if p.is_file()}
    keep_record(read_history(history)[-1], [picture(tmp_path / "t_cells.png", 40)], history)
    assert before == {p: p.read_bytes() for p in history.rglob("*") if p.is_file()}


def test_a_kept_picture_is_small_and_always_the_same(tmp_path):
    path = picture(tmp_path / "f.png", 77)
    with Image.open(path) as large:
        assert large.width == 1800
    content = small_picture(path)
    assert content == small_picture(path)
    (tmp_path / "small.png").write_bytes(content)
    with Image.open(tmp_path / "small.png") as small:
        assert small.size == (760, 17)


def test_a_file_that_is_no_record_is_named(tmp_path):
    (tmp_path / "0001.json").write_text("{")
    with pytest.raises(InputError, match=r"0001\.json: no record of a run"):
        read_history(tmp_path)
    (tmp_path / "0001.json").write_text('{"form": "other"}')
    with pytest.raises(InputError, match="expected form"):
        read_history(tmp_path)
    damaged = {key: value for key, value in record().items() if key not in ("numbers", "figures")}
    (tmp_path / "0001.json").write_text(json.dumps(damaged))
    with pytest.raises(InputError, match=r"0001\.json: a damaged .* without figures, numbers"):
        read_history(tmp_path)


def test_a_record_of_the_example_is_as_the_schema_says_and_reads_back(tmp_path, repository):
    case = write_example(tmp_path)
    tables = {path.stem: path for path in (tmp_path / "results" / "tables").glob("*.tsv")}
    made = run_record(case, SOFTWARE, CLAIMS, tables, [])
    schema = yaml.safe_load((repository / "schemas/run_record.schema.yaml").read_text())
    read = json.loads(dumped(made))
    jsonschema.validate(read, schema, jsonschema.Draft202012Validator)
    assert read == made
    assert what_is_new(read, [made])["status"] == "unchanged"
    assert {n["measurement"] for n in made["numbers"]} == set(
        schema["properties"]["numbers"]["items"]["properties"]["measurement"]["enum"]
    )
    assert len(dumped(made)) < 300_000


def test_awkward_text_in_the_news_stays_text():
    text = "<b>=1+1</b> שלום 🧬"
    new = copy.deepcopy(record())
    new["verdicts"][0] |= {"title": text, "verdict": "contradicted"}
    new["settings"]["case.title"] = text
    found = what_is_new(new, [record()])
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "publish_display_data", shown.append)
        blocks.note(words.turned(found["verdicts"][0]), tone="alert")
    assert text in shown[0][blocks.MIME]["text"]
    assert "<b>" not in shown[0]["text/html"]
    assert words.setting_rows(found)["new"].tolist() == [text]


def test_pairs_are_in_both_forms(tmp_path):
    path = picture(tmp_path / "figures" / "f.png", 99)
    image = base64.b64encode(small_picture(path)).decode()
    kinds = [
        {"kind": "pair", "title": "<b>Course</b>", "old": image, "new": image},
        {"kind": "pair", "title": "New one", "old": None, "new": image},
        {"kind": "note", "text": "Claim C1: was a, is b.", "tone": "alert"},
    ]
    chapter = {"name": "c", "id": "c", "title": "C", "blocks": kinds}
    document = {"title": "t", "simulated": False, "scenario": None, "chapters": [chapter]}
    page = render_html(document, tmp_path)
    assert page.count("data:image/png") == 3
    assert 'alt="The figure &lt;b&gt;Course&lt;/b&gt;, as it was before"' in page
    assert "No picture is kept of it." in page
    assert '<p class="note alert"' in page
    assert b"/Subtype/Image" in render_pdf(document, tmp_path)
    assert document["chapters"][0]["blocks"][0]["old"] == image
