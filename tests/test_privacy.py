"""What may leave the raw files, and what in a code is a person's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from immunotrace.joblog import job_log
from immunotrace.privacy import FileNames, dates, looks_identifying, names_of, told


@pytest.mark.parametrize(
    "text",
    ["12.5", "-3", "1e5", "A1", "H12", "OVRFLW", "grid 2", "0,0", "##BLOCKS= 2", "index ,count"],
)
def test_technical_text_is_shown(text):
    assert told(text) == repr(text)


@pytest.mark.parametrize(
    "text",
    [
        *("John Smith", "Smith", "O'Brien", "Müller", "MRN 00123456", "12345678", "1970-03-12"),
        *(
            "12.03.1970",
            "born 12/03/70",
            "12/3/70",
            "Plate of John",
            "שלום",
            "=HYPERLINK(1)",
            "1" * 50,
        ),
        *("Li Wu", "plate of Wu"),
    ],
)
def test_other_text_is_not(text):
    assert told(text) == f"(text of {len(text)} characters)"


@given(st.text())
def test_told_text_is_one_short_line(text):
    shown = told(text)
    assert shown.isprintable()
    assert len(shown) < 100


@pytest.mark.parametrize(
    ("code", "what"),
    [
        *(("Smith", "a name"), ("JohnS", "a name"), ("SMITH_J", "a name"), ("j.smith", "a name")),
        *(("P_19700312", "a date"), ("12-03-1970", "a date"), ("120370", "a date")),
        *(
            ("S1970.03.12", "a date"),
            ("MRN1", "a hospital number"),
            ("943-476-5919", "a hospital number"),
            ("P.123-45-6789", "a hospital number"),
            ("P1_12MAR1970", "a date"),
            ("12-march-70", "a date"),
            ("12.3.70", "a date"),
            ("P00234567", "a hospital number"),
        ),
    ],
)
def test_codes_of_a_person_are_seen(code, what):
    assert looks_identifying(code) == what


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12-MAR-1970, 19700312 and 12.3.70", {"12-mar-1970", "19700312", "12.3.70"}),
        ("120370 counts, 120370.5 and 0.120370", {"120370"}),
        ("CD4 marker 12, python 3.11.2, 99/99/1970, 32 jan 1970, 1-2.1970", set()),
    ],
)
def test_dates_are_found_as_they_are_written(text, found):
    assert dates(text) == found


@pytest.mark.parametrize(
    "code", ["MSC01", "HC01", "PT7", "HD2", "412C", "Donor_3", "control1", "P", "CD_001", "S-12-7"]
)
def test_codes_are_let_pass(code):
    assert looks_identifying(code) is None


@pytest.mark.parametrize(
    "code", ["MSC01_run1_T_FMO_CCR7", "PT7_day-3_T", "HD2_day14_T", "412C_Liver"]
)
def test_names_of_files_may_hold_words(code):
    assert looks_identifying(code, of_subject=False) is None


def test_paths_of_raw_files_do_not_reach_a_log(tmp_path):
    rows = [{"acquisition": "P_day7_T", "fcs": "raw/John Smith/js_t.fcs"}]
    rows[0] |= {
        "spillover": "raw/John Smith/comp.csv",
        "gate_overrides": [{"gates": "raw/Smith.xml"}],
    }
    rows += [{"plate": "P_day7", "file": "raw/John Smith/js.txt"}]
    panels = {"T": {"gates": {"file": "raw/Smith.wsp"}}}
    log = tmp_path / "job.log"
    path = tmp_path.cwd() / "raw/John Smith/js.txt"

    def job():
        with job_log(log, names_of(rows, panels)):
            print("raw/John Smith/js_t.fcs: $TOT is 3; read with raw/Smith.wsp")
            print("raw/John Smith/comp.csv: no matrix; raw/Smith.xml: no gate")
            raise ValueError(f"js.txt line 5, in {path}")

    with pytest.raises(ValueError, match="line 5"):
        job()
    text = log.read_text()
    assert "acquisition P_day7_T: $TOT is 3; read with gates of panel T" in text
    assert "plate P_day7 line 5, in plate P_day7" in text
    assert "spillover of P_day7_T: no matrix; moved gate of P_day7_T: no gate" in text
    assert "Smith" not in text


def test_without_names_nothing_is_replaced():
    assert FileNames({}).replaced("a/b.fcs") == "a/b.fcs"
