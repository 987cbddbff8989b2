"""A Slurm cluster on this machine's loopback: Debian's daemons, one node (and a spare one), accounting.

Everything it writes lies in one folder. Every process it starts, and every job, carries that folder
in its environment; by this mark they are found again, those of an earlier, killed test among them.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(tempfile.gettempdir()) / "immunotrace-slurm-test"
MARK = f"IMMUNOTRACE_SLURM_TEST={ROOT}"
PARTITION, ACCOUNT = "max", "lab"
NODES = ("node1", "node2")
CLIENTS = (
    "sacct",
    "sacctmgr",
    "sbatch",
    "scancel",
    "scontrol",
    "sinfo",
    "squeue",
    "srun",
    "sshare",
)
CORES = 4
MEMORY_MB = 8000

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={root}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
# No cgroups and no systemd here.
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={root}/munge.socket
AccountingStorageEnforce=associations
AccountingStoreFlags=job_comment
JobRequeue=0
ReturnToService=2
EnforcePartLimits=ALL
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=5
MinJobAge=300
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000
MpiDefault=none
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={node1} CPUs={cores} RealMemory={memory}
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={node2} CPUs={cores} RealMemory={memory}
PartitionName={partition} Nodes=ALL Default=NO MaxTime=60 State=UP
"""

SLURMDBD_CONF = """
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
SlurmUser=root
AuthInfo=socket={root}/munge.socket
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
PidFile={root}/slurmdbd.pid
LogFile={root}/slurmdbd.log
"""


def marked() -> list[int]:
    """The processes of the cluster: its daemons, its jobs, and the clients that tests have started."""
    pids = [int(process.name) for process in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if MARK.encode() in variables_of(pid) or helps_a_daemon(pid)]


def variables_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile
        return []


def helps_a_daemon(pid: int) -> bool:
    """A slurmstepd or slurmscriptd: they empty their environment, but work in the cluster's folder."""
    process = Path(f"/proc/{pid}")
    try:
        helper = (process / "comm").read_text().strip() in ("slurmstepd", "slurmscriptd")
        return helper and (process / "cwd").readlink().is_relative_to(ROOT)
    except OSError:  # ended meanwhile
        return False


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(what: str, condition, seconds: float = 120, every: float = 0.5):
    """The condition's value as soon as it is true.

    Raises:
        AssertionError: it was not true in that time; the message says what was waited for.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


class Cluster:
    """Started on entry, stopped on exit with all its jobs, whatever happened between.

    One at a time on a machine: another test's is waited for.
    """

    def __enter__(self) -> "Cluster":
        self.lock = ROOT.with_suffix(".lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.stop()  # what an earlier test, killed, has left
        shutil.rmtree(ROOT, ignore_errors=True)
        (ROOT / "state").mkdir(parents=True)
        ROOT.chmod(0o755)
        self.write_configuration()
        self.processes: dict[str, subprocess.Popen] = {}
        try:
            self.start_munge()
            self.start_database()
            self.start_accounting()
            self.slurm("sacctmgr", "-i", "add", "cluster", "test")
            self.slurm("sacctmgr", "-i", "add", "account", ACCOUNT, "Cluster=test")
            self.slurm("sacctmgr", "-i", "add", "user", "root", f"Account={ACCOUNT}")
            self.start_controller()
            self.start_node("node1")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        self.lock.close()

    def write_configuration(self):
        names = ("slurmctld", "slurmdbd", *NODES)
        values = dict(zip(names, free_ports(len(names)), strict=True)) | {
            "host": socket.gethostname(),
            "root": ROOT,
            "cores": CORES,
            "memory": MEMORY_MB,
            "partition": PARTITION,
        }
        (ROOT / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (ROOT / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**values))
        (ROOT / "slurmdbd.conf").chmod(0o600)
        # The plugin takes SLURM_CONF out of a job's environment, so the clients are told where it is.
        (ROOT / "bin").mkdir()
        for name in CLIENTS:
            wrapper = ROOT / "bin" / name
            wrapper.write_text(
                f'#!/bin/sh\nSLURM_CONF={ROOT}/slurm.conf exec /usr/bin/{name} "$@"\n'
            )
            wrapper.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of the cluster, and of every client."""
        name, value = MARK.split("=")
        return os.environ | {
            name: value,
            "SLURM_CONF": f"{ROOT}/slurm.conf",
            "MYSQL_UNIX_PORT": f"{ROOT}/mariadb.socket",
            "PATH": f"{ROOT}/bin:{os.environ['PATH']}:/usr/sbin",
        }

    def start(self, name: str, *command: str | Path):
        with (ROOT / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def end(self, name: str, signal_number: int = signal.SIGTERM):
        """End a daemon, and wait until it is gone."""
        process = self.processes.pop(name)
        process.send_signal(signal_number)
        process.wait(timeout=60)

    def start_munge(self):
        (ROOT / "munge.key").write_bytes(os.urandom(128))
        (ROOT / "munge.key").chmod(0o400)
        files = {"key": "munge.key", "seed": "munge.seed", "log": "munge.log", "pid": "munge.pid"}
        self.start(
            "munged", "munged", "--foreground", "--force", f"--socket={ROOT}/munge.socket",
            *[f"--{kind}-file={ROOT}/{name}" for kind, name in files.items()],
        )  # fmt: skip
        wait_for("munged", (ROOT / "munge.socket").exists, every=0.1)

    def start_database(self):
        options = ["--no-defaults", "--user=root", f"--datadir={ROOT}/database"]
        (ROOT / "database").mkdir()
        tables = Path("/usr/share/mysql/mysql_system_tables.sql").read_text()
        subprocess.run(
            ["mariadbd", *options, "--bootstrap"], input=f"create database mysql;\nuse mysql;\n{tables}",
            check=True, capture_output=True, text=True, env=self.environment,
        )  # fmt: skip
        self.start(
            "mariadbd", "mariadbd", *options, "--skip-networking", "--skip-grant-tables",
            f"--socket={ROOT}/mariadb.socket", f"--pid-file={ROOT}/mariadb.pid",
            "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0",
        )  # fmt: skip
        wait_for("mariadbd", (ROOT / "mariadb.socket").exists, every=0.1)

    def start_accounting(self):
        self.start("slurmdbd", "slurmdbd", "-D")
        wait_for("slurmdbd", lambda: self.answers("sacctmgr", "-n", "show", "cluster"))

    def start_controller(self):
        self.start("slurmctld", "slurmctld", "-D")
        wait_for("slurmctld", lambda: self.answers("scontrol", "ping"))

    def start_node(self, name: str):
        self.start(name, "slurmd", "-D", "-N", name)
        wait_for(
            f"{name} to be idle", lambda: self.node_state(name).startswith(("idle", "mix", "alloc"))
        )

    def kill_node(self, name: str):
        """The node loses its power: its daemon and all that runs on it are gone, and tell nobody."""
        jobs = self.slurm("squeue", "-h", "-w", name, "-o", "%i").split()
        self.end(name, signal.SIGKILL)
        processes = {pid: variables_of(pid) for pid in marked()}
        # A job's slurmstepd first: it would tell the controller how the job's processes ended.
        for pid in processes:
            try:
                title = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:  # ended meanwhile
                continue
            if any(title.startswith(f"slurmstepd: [{job}.".encode()) for job in jobs):
                kill(pid)
        for pid, variables in processes.items():
            if any(f"SLURM_JOB_ID={job}".encode() in variables for job in jobs):
                kill(pid)

    def node_state(self, name: str) -> str:
        """For example idle, alloc, mix, down*: a star is a node that does not answer."""
        return self.slurm("sinfo", "-h", "-N", "-n", name, "-o", "%t").strip()

    def slurm(self, *command: str) -> str:
        """What a client of Slurm prints.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        done = subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, cwd=ROOT
        )
        return done.stdout

    def answers(self, *command: str) -> bool:
        try:
            return "DOWN" not in self.slurm(*command)
        except subprocess.CalledProcessError:
            return False

    def stop(self):
        """End all processes of the cluster, those of an earlier test in the same folder too."""
        for pid in marked():
            kill(pid, signal.SIGTERM)
        for process in getattr(self, "processes", {}).values():
            process.poll()
        end = time.monotonic() + 10
        while marked() and time.monotonic() < end:
            for process in getattr(self, "processes", {}).values():
                process.poll()
            time.sleep(0.2)
        for pid in marked():
            kill(pid)
        for process in getattr(self, "processes", {}).values():
            process.wait()


def kill(pid: int, signal_number: int = signal.SIGKILL):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal_number)
