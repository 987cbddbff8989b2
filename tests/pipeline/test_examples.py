"""The same Snakefile on real files with real gates, against the counts stored beside them."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from runs import Run, copy_repository, snakemake


@pytest.fixture(scope="session")
def workplace(repository, reference, tmp_path_factory):
    """A copy of the repository with the reference data beside it, as the examples' sheets expect."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "shared").mkdir()
    (folder / "shared" / "reference").symlink_to(reference)
    return copy_repository(repository, folder / "clone")


def run_example(workplace, name) -> Run:
    run = snakemake(workplace, "--directory", f"examples/{name}")
    assert run.code == 0, run.output
    return Run(workplace / "examples" / name, run.code, run.output)


@pytest.fixture(scope="session")
def flowatlas(workplace):
    return run_example(workplace, "flowatlas_tcell")


@pytest.fixture(scope="session")
def lyoplate(workplace, reference):
    folder = reference / "cytometry" / "bcell_lyoplate"
    subprocess.run(
        [sys.executable, "-m", "examples.bcell_lyoplate.make_gates", str(folder)],
        cwd=workplace,
        check=True,
    )
    return run_example(workplace, "bcell_lyoplate")


def test_flowatlas_counts_are_those_of_flowjo(flowatlas, reference):
    stored = pd.read_csv(
        reference / "cytometry" / "flowatlas_tcell" / "reference_counts.csv"
    ).rename(columns={"gate_path": "population"})
    stored["acquisition"] = stored["fcs_file"].str.removesuffix(".fcs")
    own = flowatlas.table("populations")
    assert own["acquisition"].nunique() == 12
    stored = stored[stored["acquisition"].isin(own["acquisition"])]
    both = stored.merge(own, on=["acquisition", "population"], suffixes=("_flowjo", ""))
    assert len(both) == len(stored)
    # The bar. FlowJo works with single precision and tables; 283 gates, 5 % may be further.
    difference = np.abs(both["percent_of_parent"] - both["percent_of_parent_flowjo"])
    difference = difference[both["parent_count"] > 0]
    assert difference.max() <= 0.7
    assert (difference <= 0.25).mean() >= 0.95


def test_lyoplate_counts_are_exact(lyoplate, reference):
    stored = pd.read_csv(reference / "cytometry" / "bcell_lyoplate" / "reference_counts.csv")
    own = lyoplate.table("populations").set_index("population")["count"]
    assert len(stored) == 22
    assert own.loc[stored["gate_path"]].tolist() == stored["count"].tolist()


@pytest.mark.parametrize("name", ["flowatlas", "lyoplate"])
def test_the_report_leaves_out_what_there_is_no_data_for(name, request):
    run = request.getfixturevalue(name)
    html = (run.folder / "results/report/report.html").read_text(encoding="utf-8")
    assert not (run.folder / "results/report/chapters/steroid_sensitivity.ipynb").exists()
    text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", "", html, flags=re.DOTALL)
    assert "no chapter on steroid sensitivity" in text
    assert "simulated" not in text.lower()
    assert (run.folder / "results/report/report.pdf").read_bytes().startswith(b"%PDF")
