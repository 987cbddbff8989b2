"""The profile for Slurm on a real Slurm (cluster.py); run by `make slurm-test`, not by `make test`.

The bundled case shows that the profile runs the pipeline. Faults are tested on a few small jobs of
the same profile and resource functions (faults.smk), for there each fault can be timed.
"""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster import ACCOUNT, PARTITION, Cluster, wait_for

HERE = Path(__file__).resolve().parent
GENERATED = shutil.ignore_patterns(
    "results", ".git", ".venv", ".snakemake", "logs", "__pycache__", ".*_cache", ".hypothesis"
)
OUTAGE = 60  # seconds
# The profile's 20 s before the first look at a job's state suit longer jobs than these.
SOONER = ("--slurm-init-seconds-before-status-checks", "5")
FAULTS = ("--snakefile", "faults.smk")


class Lab:
    """A clone of the repository whose profile names the partition and the account of the cluster."""

    def __init__(self, repository: Path, folder: Path, cluster: Cluster):
        shutil.copytree(repository, folder, ignore=GENERATED)
        shutil.copy(HERE / "faults.smk", folder)
        profile = folder / "profiles" / "slurm" / "config.yaml"
        text = profile.read_text()
        text = text.replace("short", PARTITION, 1).replace("my_lab", ACCOUNT, 1)
        profile.write_text(text)
        self.folder = folder
        self.cluster = cluster
        self.logs: list[Path] = []

    @property
    def path(self) -> str:
        return f"{Path(sys.executable).parent}:{self.cluster.environment['PATH']}"

    def start(self, *command: str | Path) -> subprocess.Popen:
        """Start a command in the clone, in this Python's environment; its output goes into a log."""
        log = self.folder / f"run{len(self.logs) + 1}.log"
        self.logs.append(log)
        with log.open("wb") as out:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.cluster.environment | {"PATH": self.path},
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def on_slurm(self, *arguments: str) -> subprocess.Popen:
        return self.start(self.folder / "profiles" / "slurm" / "run", *SOONER, *arguments)

    def locally(self, *arguments: str) -> subprocess.Popen:
        return self.start("snakemake", "--cores", "2", *arguments)

    def hold(self, *parts: str):
        """Let the jobs that write these parts wait in their middle."""
        for part in parts:
            (self.folder / f"hold_{part}").touch()

    def let_go(self):
        for held in self.folder.glob("hold_*"):
            held.unlink()

    def end(self, run: subprocess.Popen, seconds: float = 1800) -> str:
        """The output of a run that is expected to end well."""
        code = run.wait(timeout=seconds)
        text = self.logs[-1].read_text()
        assert code == 0, text
        return text

    def wait_for(self, run: subprocess.Popen, what: str, condition, seconds: float = 300):
        """Wait until the condition is true while the run goes on; a busy machine takes its time."""

        def true_or_ended():
            assert run.poll() is None, self.logs[-1].read_text()
            return condition()

        wait_for(what, true_or_ended, seconds)

    def both_run(self) -> bool:
        return list(self.states().values()) == ["RUNNING"] * 2

    def submitted(self) -> list[str]:
        """The ids of the Slurm jobs that the runs of this clone have submitted so far."""
        text = "".join(log.read_text() for log in self.logs)
        return re.findall(r"has been submitted with SLURM jobid (\d+)", text)

    def states(self) -> dict[str, str]:
        """The state of each of these jobs, as the accounting knows it."""
        return {job: row[0] for job, row in self.accounted("State").items()}

    def accounted(self, *fields: str) -> dict[str, list[str]]:
        if not (jobs := self.submitted()):
            return {}
        table = self.cluster.slurm(
            "sacct", "-X", "-n", "-P", "-j", ",".join(jobs), "-o", ",".join(("JobIDRaw", *fields))
        )
        rows = [line.split("|") for line in table.splitlines()]
        return {row[0]: row[1:] for row in rows}

    def results(self) -> dict[str, bytes]:
        """Every file under results/ and its bytes; not the crate, which tells the run's own times."""
        root = self.folder / "results"
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "ro-crate-metadata.json"
        }


def same_bytes(one: Lab, other: Lab) -> str:
    """That two clones hold the same results; says how many files and bytes were compared."""
    here, there = one.results(), other.results()
    assert here.keys() == there.keys()
    different = [name for name in here if here[name] != there[name]]
    assert not different
    assert here
    return f"{len(here)} files, {sum(map(len, here.values()))} bytes, all the same"


def say(fault: str, found: str):
    """A line of what was proven; docs/cluster.md quotes them."""
    print(f"\nPROVEN {fault}: {found}", flush=True)


@pytest.fixture(scope="session")
def cluster():
    start = time.monotonic()
    with Cluster() as cluster:
        print(
            f"\nSlurm is up after {time.monotonic() - start:.0f} s: {cluster.slurm('sinfo', '-V')}"
        )
        yield cluster


@pytest.fixture
def lab(repository, tmp_path, cluster) -> Lab:
    return Lab(repository, tmp_path / "lab", cluster)


@pytest.fixture(scope="session")
def limits(repository, tmp_path_factory, cluster):
    """Jobs that take more memory and time than they have, running beside the next tests."""
    lab = Lab(repository, tmp_path_factory.mktemp("limits") / "lab", cluster)
    return lab, lab.on_slurm(*FAULTS, "results/memory.txt", "results/time.txt")


@pytest.fixture(scope="session")
def undisturbed(repository, tmp_path_factory, cluster) -> Lab:
    """The small jobs, run without Slurm."""
    lab = Lab(repository, tmp_path_factory.mktemp("undisturbed") / "lab", cluster)
    lab.end(lab.locally(*FAULTS))
    return lab


def test_the_bundled_case_runs_in_slurm_and_gives_the_same_bytes(
    repository, tmp_path, lab, limits, cluster
):
    local = Lab(repository, tmp_path / "local", cluster)
    local.end(local.locally())
    start = time.monotonic()
    output = lab.end(lab.on_slurm())
    seconds = time.monotonic() - start
    # Snakemake's own list: each job is a line `rule x:`, or `localrule x:` where it runs beside it.
    remote = re.findall(r"^ *rule (\w+):$", output, re.MULTILINE)
    beside = set(re.findall(r"^ *localrule (\w+):$", output, re.MULTILINE))
    local_rules = {
        *("simulate_timeline", "cytometry_tables", "judge_claims"),
        *("describe_software", "describe_code", "write_crate"),
    }
    assert beside == {"all", *local_rules}
    assert not beside & set(remote)
    # Slurm's list: a job for each submission, and in it a step for each of Snakemake's jobs.
    jobs = lab.submitted()
    assert lab.states() == dict.fromkeys(jobs, "COMPLETED")
    steps = cluster.slurm("sacct", "-n", "-P", "-j", ",".join(jobs), "-o", "JobID,State").split()
    inner = [line for line in steps if re.fullmatch(r"\d+\.\d+\|COMPLETED", line)]
    assert len(inner) == len(remote) > 40
    say(
        "bundled case on Slurm",
        f"{len(remote)} of Snakemake's jobs were {len(inner)} steps of {len(jobs)} Slurm jobs"
        f" ({', '.join(jobs)}), {seconds:.0f} s; local run: {same_bytes(lab, local)}",
    )


def test_jobs_over_their_limits_are_tried_again_with_more(limits):
    lab, run = limits
    output = lab.end(run)
    assert {name: text for name, text in lab.results().items() if "truth" not in name} == {
        "memory.txt": b"900000000\n",
        "time.txt": b"done\n",
    }
    rows = lab.accounted("Comment", "State", "ReqMem", "TimelimitRaw")
    memory, limit = [
        [(job, *row[1:]) for job, row in rows.items() if row[0] == f"rule_use_{name}"]
        for name in ("memory", "time")
    ]
    assert [row[1:3] for row in memory] == [("FAILED", "700M"), ("COMPLETED", "1400M")], output
    # On a slow machine the start alone takes long: then a third attempt is needed, and allowed.
    assert [(row[1], row[3]) for row in limit] in (
        [("TIMEOUT", "1"), ("COMPLETED", "2")],
        [("TIMEOUT", "1"), ("TIMEOUT", "2"), ("COMPLETED", "3")],
    ), output
    for what, tries in (("memory", memory), ("time", limit)):
        told = "; then ".join(f"job {j}: {mem}, {mins} min, {s}" for j, s, mem, mins in tries)
        say(f"job over its {what}", told)


def test_a_node_dies_and_comes_back(lab, undisturbed, cluster):
    cluster.start_node("node2")
    lab.hold("short", "long")
    run = lab.on_slurm(*FAULTS)
    lab.wait_for(run, "both jobs to run", lab.both_run)
    (dead,) = {row[0] for row in lab.accounted("NodeList").values()}
    start = time.monotonic()
    cluster.kill_node(dead)
    lab.wait_for(run, "Slurm to miss the node", lambda: "NODE_FAIL" in lab.states().values())
    missed = time.monotonic() - start
    lab.let_go()
    cluster.start_node(dead)
    lab.end(run)
    nodes = lab.accounted("State", "NodeList")
    failed = [job for job, (state, _) in nodes.items() if state == "NODE_FAIL"]
    assert len(failed) == 2
    assert all(row[0] == "COMPLETED" for job, row in nodes.items() if job not in failed)
    say(
        "node dies and comes back",
        f"{dead} was missed after {missed:.0f} s, jobs {', '.join(failed)} NODE_FAIL, run again on"
        f" {nodes[lab.submitted()[-1]][1]}; {dead} is {cluster.node_state(dead)};"
        f" {same_bytes(lab, undisturbed)}",
    )


def test_the_controller_is_away_for_a_minute(lab, undisturbed, cluster):
    lab.hold("long")
    run = lab.on_slurm(*FAULTS)
    lab.wait_for(
        run,
        "one job to have ended and one to run",
        lambda: sorted(lab.states().values()) == ["COMPLETED", "RUNNING"],
    )
    before = lab.submitted()
    cluster.end("slurmctld")
    start = time.monotonic()
    log = lab.logs[-1]
    lab.wait_for(run, "a submission", lambda: "rule number_lines:" in log.read_text())
    lab.let_go()
    time.sleep(max(OUTAGE - (time.monotonic() - start), 10))
    away = time.monotonic() - start
    assert run.poll() is None
    assert lab.submitted() == before
    cluster.start_controller()
    lab.end(run)
    assert set(lab.states().values()) == {"COMPLETED"}
    say(
        f"controller away for {away:.0f} s",
        f"job {before[0]} had ended, {before[1]} ran on and ended; what was to be submitted meanwhile became"
        f" jobs {', '.join(lab.submitted()[2:])}; {same_bytes(lab, undisturbed)}",
    )


def test_the_accounting_is_away_for_a_minute(lab, undisturbed, cluster):
    lab.hold("short", "long")
    run = lab.on_slurm(*FAULTS)
    lab.wait_for(run, "both jobs to run", lab.both_run)
    cluster.end("slurmdbd")
    lab.let_go()
    time.sleep(OUTAGE)
    assert run.poll() is None
    cluster.start_accounting()
    lab.end(run)
    assert set(lab.states().values()) == {"COMPLETED"}
    jobs = lab.submitted()
    assert len(jobs) == len(set(jobs)) == 4
    say(
        f"accounting away for {OUTAGE} s",
        f"two jobs ended meanwhile; jobs {', '.join(jobs)} COMPLETED, none twice; {same_bytes(lab, undisturbed)}",
    )


def test_snakemake_is_killed_and_started_again_while_its_jobs_run(
    lab, undisturbed, cluster, tmp_path
):
    neighbour = cluster.slurm(
        "sbatch", "--parsable", "-A", ACCOUNT, "-p", PARTITION, "-J", "immunotrace_neighbour",
        "--mem=100", "-D", str(tmp_path), "-o", "/dev/null", "--wrap", "sleep 600",
    ).strip()  # fmt: skip
    lab.hold("short", "long")
    run = lab.on_slurm(*FAULTS)
    parts = [lab.folder / "results" / f"part_{part}.txt" for part in ("short", "long")]
    lab.wait_for(run, "both jobs to write", lambda: all(map(Path.exists, parts)))
    second = lab.on_slurm(*FAULTS)
    assert second.wait(timeout=300) != 0
    refusal = lab.logs[-1].read_text()
    assert f"Another run works in this folder: process {run.pid} on" in refusal
    run.send_signal(signal.SIGKILL)
    run.wait()
    left = lab.submitted()
    plain = lab.start("snakemake", "--workflow-profile", "profiles/slurm", *FAULTS)
    assert plain.wait(timeout=300) != 0
    refusal = lab.logs[-1].read_text()
    assert "Its jobs may still be in the cluster's queue" in refusal
    assert "Directory cannot be locked" in refusal
    assert lab.both_run()
    last = lab.on_slurm(*FAULTS)
    lab.wait_for(last, "jobs of its own", lambda: len(lab.submitted()) > len(left))
    cancelled = [lab.states()[job].split()[0] for job in left]
    assert cancelled == ["CANCELLED"] * 2  # before any other was submitted
    lab.let_go()
    output = lab.end(last)
    assert f"Cancelling what an earlier run left in Slurm: {' '.join(left)}" in output
    states = lab.states()
    assert {state for job, state in states.items() if job not in left} == {"COMPLETED"}
    told = same_bytes(lab, undisturbed)
    assert cluster.slurm("squeue", "-h", "-j", neighbour, "-o", "%T").strip() == "RUNNING"
    cluster.slurm("scancel", neighbour)
    say(
        "Snakemake killed, started again",
        f"a second run beside it was refused, and one that would not cancel its jobs; jobs {', '.join(left)} of the killed run were"
        f" cancelled, job {neighbour} of another folder was not; {told}",
    )


# What SGE's commands would do, done by Slurm's.
STAND_INS = {
    "qsub": """memory=$(echo "$*" | grep -o 'h_vmem=[0-9]*M' | cut -d= -f2)
time=$(echo "$*" | grep -o 'h_rt=[0-9:]*' | cut -d= -f2)
for script; do :; done
sbatch --parsable -A {account} -p {partition} --mem="$memory" -t "$time" -o /dev/null "$script"
""",
    "qstat": """squeue -h -j "$2" -t PD,R,CG -o %i 2>/dev/null | grep -q .""",
    "qacct": """sacct -X -n -P -j "$2" -o State | awk '/COMPLETED/ {print "exit_status 0"}
  /FAIL|CANCEL|TIMEOUT|MEMORY/ {print "exit_status 1"}'""",
    "qdel": """scancel "$@" """,
}


def test_another_scheduler_by_the_generic_profile(lab, undisturbed):
    for name, text in STAND_INS.items():
        command = lab.folder / "bin" / name
        command.parent.mkdir(exist_ok=True)
        text = text.replace("{account}", ACCOUNT).replace("{partition}", PARTITION)
        command.write_text(f"#!/bin/sh\n{text}\n")
        command.chmod(0o755)
    profile = lab.folder / "profiles" / "cluster-generic"
    run = lab.start(
        "env", f"PATH={lab.folder}/bin:{lab.path}",
        "snakemake", "--workflow-profile", profile, *FAULTS,
    )  # fmt: skip
    output = lab.end(run)
    jobs = re.findall(r"Submitted (?:group )?job \S+ with external jobid '(\d+)'", output)
    assert len(jobs) == 4
    say(
        "generic executor, SGE's commands played by Slurm's",
        f"jobs {', '.join(jobs)}; {same_bytes(lab, undisturbed)}",
    )
