from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from pathlib import Path

    from simulation.scoring import score, write_score
    from simulation.settings import read_settings

    rows = score(
        snakemake.input.truths, snakemake.input.timeline, Path(snakemake.input.changes).parent
    )
    write_score(
        rows,
        read_settings(snakemake.input.settings)["notice"],
        snakemake.params.scenario,
        Path(aside(snakemake.output.page)),
        Path(aside(snakemake.output.table)),
    )
