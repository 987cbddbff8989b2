"""CPU time, memory and jobs of planning a cohort from its sheets; the growth must be linear.

Ten days and two panels a patient, ten patients a batch. The FCS files are empty: planning reads none.

    python benchmarks/scale/plan.py [10 100 1000 10000]
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DAYS = (-14, -7, 7, 14, 28, 42, 60, 90, 120, 150)
CONFIG = """\
case: {title: Cohort, patient: P00000}
acquisitions: acquisitions.tsv
panels: panels.yaml
"""


def write_cohort(
    folder: Path, acquisitions: int, batch_patients: int = 10, files: dict[str, Path] | None = None
) -> None:
    """A case of so many full stains, patient by patient: empty files, or links to that of the panel."""
    bundled = REPOSITORY / "resources" / "case"
    for name in ("gates_T.yaml", "gates_B.yaml"):
        shutil.copy(bundled / name, folder)
    panels = (bundled / "panels.yaml").read_text(encoding="utf-8")
    (folder / "panels.yaml").write_text(panels.replace("threshold: fmo", "threshold: valley"))
    (folder / "config.yaml").write_text(CONFIG)
    rows = [["acquisition", "subject", "role", "day", "panel", "staining", "batch", "fcs"]]
    for number in range(acquisitions):
        patient, stain = divmod(number, 2 * len(DAYS))
        visit, panel = divmod(stain, 2)
        name = f"P{patient:05d}_{visit}_{'TB'[panel]}"
        batch = f"run{patient // batch_patients:04d}_{visit}"
        if files:
            os.link(files["TB"[panel]], folder / f"{name}.fcs")
        else:
            (folder / f"{name}.fcs").touch()
        row = [name, name[:6], "patient", DAYS[visit], "TB"[panel], "full", batch, f"{name}.fcs"]
        rows.append([str(cell) for cell in row])
    text = "".join("\t".join(row) + "\n" for row in rows)
    (folder / "acquisitions.tsv").write_text(text)


def main() -> None:
    print("acquisitions  jobs  CPU (s)  largest process so far (MB)")
    for acquisitions in [int(number) for number in sys.argv[1:]] or [10, 100, 1000, 10000]:
        with tempfile.TemporaryDirectory() as folder:
            write_cohort(Path(folder), acquisitions)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "snakemake",
                    "-n",
                    "--quiet",
                    "host",
                    "-s",
                    str(REPOSITORY / "Snakefile"),
                ],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        jobs = re.search(r"^total +(\d+)", run.stdout, re.MULTILINE)[1]
        print(
            f"{acquisitions:12} {jobs:>5} {seconds:8.1f} {used.ru_maxrss / 1024:8.0f}", flush=True
        )


if __name__ == "__main__":
    main()
