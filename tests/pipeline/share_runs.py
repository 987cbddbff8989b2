"""What identifies a person stays in the raw files, and the pack for others is checked."""

import json
import re
import shutil
import subprocess
import zipfile

import flowio
import pytest
from runs import copy_repository, snakemake

NAME, BORN, NUMBER = ("Mirabella", "Qvistgaard"), "19700312", "H4711908"
PLANTED = [*NAME, BORN, "12-MAR-1970", "12.3.70", NUMBER]
WORKSPACE, PLATE_MAP = f"{NAME[1]}_{BORN}.wsp", f"{NAME[1]} map.tsv"
FOLDER = f"raw/{NAME[1]}, {NAME[0]} {NUMBER}"
FILES = ("423_Donor_Lung_032.fcs", "423_Donor_Liver_022.fcs")

CONFIG = """\
case: {title: A case with planted names, patient: P01}
acquisitions: acquisitions.tsv
panels: panels.yaml
plates: plates.tsv
cytometry: {qc: {remove: []}}
"""
PANELS = """\
panels:
  T:
    title: T cells
    lineage: T
    compensation: none
    gates: {source: flowjo, file: "FOLDER/WORKSPACE"}
    markers:
      CD4: {channel: FJComp-355 820_60-A, threshold: none}
      CCR7: {channel: FJComp-640 780_60-A, threshold: valley}
    quantify: {populations: [non-B/T cells/CD4], markers: [CCR7]}
"""


def planted_fcs(source, target):
    """A copy of a real file with the keywords in which vendors keep who it was."""
    person = f"{NAME[1]}^{NAME[0]}"
    keywords = {
        "$SRC": person, "$OP": NAME[1], "$PROJ": f"study of {NAME[0]}", "$CELLS": f"PBMC {NUMBER}",
        "$DATE": "12-MAR-1970", "$FIL": f"{NAME[1]} {BORN}.fcs", "$COM": f"<b>{person}</b>",
        "PATIENT ID": NUMBER, "SAMPLE ID": person, "EXPERIMENT NAME": f"=1+1 {person} \u05e9\u05dc\u05d5\u05dd",
        "TUBE NAME": f"{NAME[1]} 12.3.70", "$SMNO": NUMBER, "$P9S": person, person: "",
    }  # fmt: skip
    flowio.FlowData(str(source)).write_fcs(str(target), metadata=keywords)


@pytest.fixture(scope="module")
def planted(repository, reference, tmp_path_factory):
    """A case of two real files and a plate that say in every place who somebody is, run to its pack."""
    clone = copy_repository(repository, tmp_path_factory.mktemp("planted") / "clone")
    case = clone / "case"
    raw = case / FOLDER
    raw.mkdir(parents=True)
    source = reference / "cytometry" / "flowatlas_tcell"
    workspace = (source / "workspace.wsp").read_text(encoding="utf-8")
    sheet = ["acquisition\tsubject\trole\tday\tpanel\tstaining\tbatch\tfcs\tworkspace_sample"]
    for day, name in enumerate(FILES):
        new = f"{NAME[1]} {NAME[0]} {BORN} {day}.fcs"
        planted_fcs(source / "fcs" / name, raw / new)
        workspace = workspace.replace(name, new)
        sheet.append(f"P01_{day}\tP01\tpatient\t{day}\tT\tfull\trun\t{FOLDER}/{new}\t{new}")
    keyword = f'<Keywords><Keyword name="PATIENT ID" value="{NAME[1]} {NUMBER}"/>'
    (raw / WORKSPACE).write_text(workspace.replace("<Keywords>", keyword), encoding="utf-8")
    heading = "\t".join(["", *map(str, range(1, 13))])
    rows = [
        "\t".join([row, *(str(900 + 37 * column + index) for column in range(12))])
        for index, row in enumerate("ABCDEFGH")
    ]
    grid = "\n".join([heading, *rows])
    (raw / "plate.txt").write_text(f"Patient {NAME[1]} {NAME[0]} born {BORN} {NUMBER}\n{grid}\n")
    shutil.copy(clone / "resources/case/plate_map.tsv", case / FOLDER / PLATE_MAP)
    (case / "acquisitions.tsv").write_text("\n".join(sheet) + "\n")
    (case / "plates.tsv").write_text(
        "plate\tsubject\trole\tday\tdrug\tdose_unit\treadout\tformat\tfile\tmap\n"
        f"P01_0\tP01\tpatient\t0\tsteroid\tng/ml\tcpm\tplain_grid\t{FOLDER}/plate.txt\t{FOLDER}/{PLATE_MAP}\n"
    )
    (case / "panels.yaml").write_text(
        PANELS.replace("FOLDER", FOLDER).replace("WORKSPACE", WORKSPACE)
    )
    (case / "config.yaml").write_text(CONFIG)
    run = snakemake(
        case, "results/share.zip", "results/report/report.html", snakefile=clone / "Snakefile"
    )
    assert run.code == 0, run.output
    return case


def texts(folder):
    """Every file's content as text, of archives and PDFs what is inside."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix in (".zip", ".npz"):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}: {name}", name.encode() + b"\n" + archive.read(name)
        elif path.suffix == ".pdf" and shutil.which("pdftotext"):
            done = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, check=True)
            yield str(path), content + done.stdout
        else:
            yield str(path), str(path.relative_to(folder)).encode() + b"\n" + content


def test_what_is_planted_in_raw_files_is_nowhere(planted):
    seen = [item for folder in ("results", "logs") for item in texts(planted / folder)]
    assert len(seen) > 60
    assert any(name.endswith("share.zip: report/report.html") for name, _ in seen)
    for name, content in seen:
        for word in PLANTED:
            assert word.lower().encode() not in content.lower(), f"{word} in {name}"
    # The same search does find what is meant to be there.
    assert any(b"P01_1" in content for name, content in seen if name.endswith("populations.tsv"))


def test_a_failed_job_names_the_file_by_its_row(planted, tmp_path):
    case = shutil.copytree(planted, tmp_path / "clone" / "case")
    (raw,) = case.glob("raw/*/*0.fcs")
    raw.write_bytes(raw.read_bytes()[:-5000])
    run = snakemake(case, "results/tables/populations.tsv", snakefile=planted.parent / "Snakefile")
    assert run.code != 0
    log = (case / "logs/ingest_batch/run.log").read_text()
    assert "acquisition P01_0: " in log
    assert not any(word.lower() in log.lower() for word in PLANTED)


def test_the_pack_is_complete_and_always_the_same(planted):
    archive = planted / "results/share.zip"
    with zipfile.ZipFile(archive) as pack:
        names = pack.namelist()
    assert {"report/report.html", "report/report.pdf", "report/case.json"} <= set(names)
    assert {"tables/wells.tsv", "tables/markers.tsv", "figures/t_cells_medians.svg"} <= set(names)
    assert "cytometry/thresholds/P01/T.tsv" in names
    assert not any(re.search(r"\.(fcs|txt|log|npz|wsp)$", name) for name in names)
    with zipfile.ZipFile(archive) as pack:
        crate = json.loads(pack.read("ro-crate-metadata.json"))["@graph"]
    described = {e["@id"] for e in crate if "File" in e["@type"] and not e["@id"].startswith("#")}
    assert described <= set(names)
    assert {e["name"] for e in crate if e["@id"].startswith("#acquisition/")} == {"P01_0", "P01_1"}
    before = archive.read_bytes()
    archive.unlink()
    run = snakemake(planted, "results/share.zip", snakefile=planted.parent / "Snakefile")
    assert run.jobs == ["pack_results"]
    assert archive.read_bytes() == before
