"""The profiles of clusters fit the rules. What they do on a cluster: slurm_runs.py."""

import re

import pytest
import yaml

from immunotrace.figures import FIGURES


@pytest.mark.parametrize("name", ["slurm", "cluster-generic"])
def test_groups_name_rules_that_exist(repository, name):
    text = "".join(path.read_text() for path in (repository / "rules").glob("*.smk"))
    rules = set(re.findall(r"^ *rule (\w+):", text, re.MULTILINE))
    rules |= {f"draw_{group}" for group in FIGURES}
    beside = set(re.findall(r"^ *localrules:\n((?: +\w+,\n)+)", text, re.MULTILINE))
    local = {word for names in beside for word in re.findall(r"\w+", names)}
    profile = yaml.safe_load((repository / "profiles" / name / "config.yaml").read_text())
    grouped = set(profile["groups"])
    assert grouped <= rules
    assert len(local) == 6
    assert not grouped & local
    groups = {*profile["groups"].values(), *re.findall(r'group:\n +"(\w+)"', text)}
    assert set(profile.get("group-components", [])) <= groups


@pytest.mark.parametrize("name", ["slurm", "cluster-generic"])
def test_a_cluster_reruns_what_a_local_run_would(repository, name):
    default, cluster = [
        yaml.safe_load((repository / "profiles" / profile / "config.yaml").read_text())
        for profile in ("default", name)
    ]
    for key in ("rerun-triggers", "max-checksum-file-size", "rerun-incomplete"):
        assert cluster[key] == default[key]


def test_the_partition_and_the_account_are_named_once(repository):
    text = (repository / "profiles" / "slurm" / "config.yaml").read_text()
    for word in ("slurm_partition:", "slurm_account:"):
        assert text.count(word) == 1
    # profiles/slurm/run reads this line without a reader of YAML.
    assert len(re.findall(r"^slurm-jobname-prefix: \w+", text, re.MULTILINE)) == 1
