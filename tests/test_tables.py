import pandas as pd

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
