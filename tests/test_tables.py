import csv

import pandas as pd
import pytest

from immunotrace.tables import read_tsv, write_tsv


def test_text_stays_text_and_numbers_keep_their_value(tmp_path):
    frame = pd.DataFrame(
        {
            "name": ["=cmd()", "a\tb\nc", "NA", None, "CD27-"],
            "value": [0.1, 1 / 3, float("nan"), 1e-300, 5.0],
            "seen": [True, False, True, True, False],
        }
    )
    path = tmp_path / "t.tsv"
    write_tsv(frame, path)
    back = read_tsv(path)
    assert back["name"].tolist()[:3] == ["'=cmd()", "a b c", "NA"]
    assert back["name"].isna().tolist() == [False, False, False, True, False]
    assert back["value"].dropna().tolist() == frame["value"].dropna().tolist()
    assert back["seen"].tolist() == frame["seen"].tolist()
    assert len(path.read_text().splitlines()) == 6


@pytest.mark.parametrize(
    "text",
    [
        *(
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1+1",
            "\r=1+1",
            "<b>x</b>",
            '"quoted"',
            "a\u2028b",
            "🧬",
        ),
        *(
            "שלום",
            "\u202etxt.exe",
            "'apostrophe",
            "\u00a0=1",
            "\ufeff=1",
            "\uff1d1",
            "\uff0b1",
            "\uff0d1",
            "\uff20SUM(A1)",
        ),
    ],
)
def test_awkward_text_is_one_cell_and_no_formula(tmp_path, text):
    path = tmp_path / "t.tsv"
    write_tsv(pd.DataFrame({"name": [text], "x": [1]}), path)
    rows = list(csv.reader(path.open(encoding="utf-8", newline=""), delimiter="\t"))
    assert len(rows) == 2
    assert len(rows[1]) == 2
    # Spreadsheets pass over blanks before a formula.
    assert not rows[1][0].lstrip(" \u00a0\ufeff").startswith(tuple("=+-@＝＋－＠"))
    assert rows[1][1] == "1"
