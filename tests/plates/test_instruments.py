"""Exports of counters and plate readers: real files of the reference data, then small examples."""

import zipfile

import numpy as np
import pytest

from immunotrace.errors import InputError
from immunotrace.plates.readers import READERS, read_export, sniff_format
from immunotrace.plates.workbook import read_workbook

# Folder, file, format, grid, number of wells, and readings copied from the file by eye.
REAL = [
    ("bmg_mars", "BMG Labtech format.CSV", "bmg_mars", None, 96, {"A1": 0.073, "H12": 0.207}),
    ("bmg_mars", "PHERAstar output file.CSV", "bmg_mars", None, 96, {"A1": 1.691, "H12": 0.884}),
    ("bmg_mars", "MARS V3.40 V2 Output Missing line end separators.csv", "bmg_mars", None, 302,
     {"A1": 25104, "P12": 62, "O10": 94}),
    ("bmg_mars", "16-02-29 14-34-46 Transcreener ADP2 FI.csv", "bmg_mars", None, 302, {"B1": 33863}),
    ("bmg_smart", "fluorescence_endpoint_example2.xlsx", "xlsx_grid",
     "Microplate End point: 4. Raw Data (480-14/520-30)", 96, {"A1": 8168026, "A4": 849235}),
    ("envision", "PE_Envision_luminescence_example01.csv", "envision",
     "plate 2: Results for 0_1 US LUM 384(1) - channel 0 (CPS)", 96, {"A1": 40, "E1": 80, "M24": 40}),
    ("envision", "PE_Envision_missing_plate_maps.csv", "envision",
     "plate 1: Results for 0_1 US LUM 384(1) - channel 0 (CPS)", 384, {"I8": 120, "P24": 0}),
    ("gen5", "endpoint_singleplate.txt", "gen5", "LUM:Lum", 96, {"A1": 8718, "H12": 8490}),
    ("gen5", "endpoint_singleplate.txt", "gen5", "NormLum", 96, {"A1": 99.846, "H12": 97.170}),
    ("gen5", "endpoint_stdcurve_singleplate.txt", "gen5", "[Concentration]", 96, {"H12": 115.184}),
    ("gen5", "240411_172731_BNCH2345883_abs450_96well_non_numeric_values.txt", "gen5", None, 96,
     {"A1": 2.1, "A8": np.nan, "D12": np.nan, "H12": 2.5}),
    ("gen5", "luminescence_no_results_table.txt", "gen5", None, 384, {"A1": 337, "B2": 81380}),
    ("hidex", "Lu-177_HS3_061223_ciclo1_no_spectra.csv", "hidex", "CPM repeat 30", 2,
     {"A8": 131935.45}),
    ("hidex", "Lu-177_HS3_061223_ciclo1_no_spectra.csv", "hidex", "DPM repeat 1", 2, {"A1": 135}),
    ("kaleido", "luminescence_endpoint_single_plate_example_01.csv", "kaleido", None, 96,
     {"A1": 94395, "H12": 75}),
    ("kaleido", "luminescence_v3.5_pure_csv_format_example.csv", "kaleido", None, 96, {"H12": 2460}),
    ("tecan_magellan", "SLA01P01_OD.xlsx", "magellan", None, 96, {"A1": 0.1462, "H12": 0.0461}),
    ("tecan_magellan", "SLA01P01_ELISA.xlsx", "magellan", "Label2", 384, {"A1": 0.0509, "A13": 0.0503}),
    ("tecan_magellan", "SLA01P01_assay.xlsx", "magellan", "Label1", 384, {"A2": 0.046, "H12": 0.0487}),
    ("skanit", "luciferase_assay_example.xlsx", "xlsx_grid", None, 96, {"A1": 105.4, "H12": 1043}),
    ("softmax", "MD_SMP_luminescence_endpoint_example03.txt", "softmax", "c12345_2", 96,
     {"A1": 1011329, "C1": 50026}),
    ("softmax", "MD_SMP_luminescence_endpoint_example03.txt", "softmax", "c123455_3", 96,
     {"A1": 1497823}),
]  # fmt: skip

REFUSED = [
    (
        "beckman_ls",
        "LSC_BP_data_KN207_first200.csv",
        "beckman_ls",
        "line 74: well B1 a second time",
    ),
    ("gen5", "endpoint_singleplate.txt", "gen5", r"2 grids of data: 'LUM:Lum' \(line 46\)"),
    ("hidex", "Lu-177_HS3_061223_ciclo1_no_spectra.csv", "hidex", "90 grids .* and 82 more"),
    ("softmax", "MD_SMP_luminescence_endpoint_example03.txt", "softmax", "2 grids of data"),
    ("tecan_magellan", "SLA01P01_OD.xlsx", "xlsx_grid", "no grid of readings"),
    ("tecan_magellan", "SLA01P01_assay.xlsx", "magellan", "2 grids of data: 'Label1'"),
    (
        "skanit",
        "luciferase_assay_example.xlsx",
        "magellan",
        "no sheet with a column 'Well positions'",
    ),
    ("softmax", "MD_SMP_luminescence_endpoint_example03.txt", "gen5", "line 1: '##BLOCKS= 2'"),
    ("kaleido", "luminescence_endpoint_single_plate_example_01.csv", "topcount_grid", "line 1: no"),
    ("gen5", "endpoint_singleplate.txt", "xlsx_grid", "not an Excel workbook"),
]


@pytest.mark.parametrize(("folder", "name", "format", "grid", "wells", "values"), REAL)
def test_real_exports(reference, folder, name, format, grid, wells, values):
    path = reference / "plate_exports" / folder / name
    assert sniff_format(path) == format
    found = read_export(path, format, grid)
    assert len(found.wells) == wells
    for well, value in values.items():
        np.testing.assert_equal(found.wells[well].value, value)


@pytest.mark.parametrize(("folder", "name", "format", "message"), REFUSED)
def test_real_exports_that_are_refused(reference, folder, name, format, message):
    with pytest.raises(InputError, match=message):
        read_export(reference / "plate_exports" / folder / name, format)


def test_every_real_export_is_read_or_refused(reference):
    """With the format it seems to have: an answer or an InputError, no other error."""
    paths = sorted((reference / "plate_exports").glob("*/*"))
    paths += sorted((reference / "proliferation").glob("*.csv"))
    assert len(paths) >= 20
    for path in paths:
        for format in READERS:
            assert str(path) in refusal(path, format)


def refusal(path, format) -> str:
    try:
        read_export(path, format)
    except InputError as error:
        return str(error)
    return f"{path}: read"


def write(tmp_path, text):
    path = tmp_path / "export.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_scintillation_list_counts_along_the_rows(tmp_path):
    path = write(
        tmp_path,
        "Sam,Rack,Time,H#,CPM Iso1,%Err1,DPM Iso1\n1,1-1,20,50,101,1,202\n13,1-2,20,50,303,1,404\n",
    )
    grid = read_export(path, "beckman_ls", "DPM Iso1")
    assert {well: reading.value for well, reading in grid.wells.items()} == {"A1": 202, "B1": 404}
    path = write(tmp_path, "Sam,CPM Iso1\n97,1\n")
    with pytest.raises(InputError, match="line 2: sample '97'; expected a number from 1 to 96"):
        read_export(path, "beckman_ls")


def test_a_hidex_vial_without_a_well_is_named(tmp_path):
    path = write(tmp_path, "title\nSample start\nWName;A01\nCPM;5\nSample start\nCPM;7\n")
    with pytest.raises(InputError, match="line 5: no well in the block"):
        read_export(path, "hidex")


def test_a_kinetic_softmax_block_is_refused(tmp_path):
    path = write(
        tmp_path, "##BLOCKS= 1\nPlate:\tP\t1.3\tTimeFormat\tKinetic\tAbsorbance\n\tT\tA1\n"
    )
    with pytest.raises(InputError, match="line 2: plate 'P' is 'TimeFormat Kinetic'"):
        read_export(path, "softmax")


def test_a_file_of_no_known_format(tmp_path):
    with pytest.raises(
        InputError, match=r"line 1: \(text of 14 characters\); none of the known formats"
    ):
        sniff_format(write(tmp_path, "Dear colleague"))


def workbook(tmp_path, sheet, texts=""):
    path = tmp_path / "book.xlsx"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
            '<sheet name="Run 1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="rId1" '
            'Target="worksheets/sheet1.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/worksheets/sheet1.xml",
            f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData></worksheet>',
        )
        if texts:
            archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">{texts}</sst>')
    return path


def test_a_workbook_keeps_the_places_of_cells(tmp_path):
    path = workbook(
        tmp_path,
        '<row r="2"><c r="B2" t="n"><v>1</v></c><c r="C2"><v>2</v></c></row>'
        '<row r="3"><c r="A3" t="s"><v>0</v></c><c r="B3"><v>10.5</v></c>'
        '<c r="C3" t="inlineStr"><is><t>OVER</t></is></c></row>',
        "<si><r><t>A</t></r></si>",
    )
    assert read_workbook(path) == {"Run 1": ["", "\t1\t2", "A\t10.5\tOVER"]}
    grid = read_export(path, "xlsx_grid")
    assert grid.name == "Run 1"
    assert grid.wells["A1"].value == 10.5
    assert np.isnan(grid.wells["A2"].value)
    assert grid.wells["A2"].text == "OVER"


def test_a_workbook_with_a_document_type_is_refused(tmp_path):
    path = workbook(tmp_path, "")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", '<!DOCTYPE x [<!ENTITY a "b">]><sst/>')
    with pytest.raises(InputError, match="declares a document type"):
        read_workbook(path)


def test_a_cell_at_the_end_of_the_world_is_refused(tmp_path):
    with pytest.raises(InputError, match="that is no plate export"):
        read_workbook(workbook(tmp_path, '<row r="1048576"><c r="A1048576"><v>1</v></c></row>'))
