"""A user's mistake ends with an exit code and one message, before any job and without a traceback."""

import pytest
from runs import copy_repository, snakemake


@pytest.fixture(scope="module")
def clone(repository, tmp_path_factory):
    return copy_repository(repository, tmp_path_factory.mktemp("bad") / "clone")


def refused(run):
    assert run.code != 0
    assert "Traceback" not in run.output
    assert run.jobs == []
    return run.output


def test_several_mistakes_in_one_pass(clone):
    config = (clone / "config.yaml").read_text()
    sheet = (clone / "resources/case/plates.tsv").read_text()
    (clone / "other.yaml").write_text(
        config.replace("minimum_events", "minimum_evnts").replace(
            "fmo_quantile: 0.998", "fmo_quantile: 2"
        )
    )
    output = refused(snakemake(clone, "-n", "--configfile", "other.yaml"))
    assert "other.yaml line" in output
    assert "Did you mean 'minimum_events'?" in output
    assert "'cytometry.fmo_quantile' is 2" in output
    (clone / "resources/case/plates.tsv").write_text(sheet.replace("\tng/ml\t", "\tng\t", 1))
    output = refused(snakemake(clone, "-n"))
    assert "resources/case/plates.tsv line 2, column dose_unit: is 'ng'" in output
    (clone / "resources/case/plates.tsv").write_text(sheet)


def test_a_missing_raw_file_is_named_with_its_row(clone):
    path = clone / "resources/case/acquisitions.tsv"
    text = path.read_text()
    path.write_text(text.replace("../../results/simulated/run1/MSC01_T.fcs", "raw/mine.fcs"))
    output = refused(snakemake(clone, "-n"))
    assert "resources/case/acquisitions.tsv line 2, column fcs: no file 'raw/mine.fcs'" in output
    path.write_text(text)


def test_an_unknown_scenario(clone):
    output = refused(snakemake(clone, "-n", "--config", "scenario=abstrct"))
    assert "'scenario' is 'abstrct'; expected one of abstract" in output


def test_a_configuration_replaces_the_bundled_case(clone):
    # Nothing of the bundled case leaks into another: a case of plates only has no cytometry.
    (clone / "mine.yaml").write_text(
        "case: {title: mine, patient: MSC01}\nplates: resources/case/plates.tsv\n"
    )
    output = refused(snakemake(clone, "-n", "--configfile", "mine.yaml"))
    assert "no file '../../results/simulated/run1/MSC01_plate.txt'" in output
    assert "acquisitions" not in output
