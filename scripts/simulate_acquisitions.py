"""Simulated FCS files of a batch, or plate exports, and their truth."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from simulation.batch import simulate_batch
    from simulation.settings import read_settings

    simulate_batch(
        read_settings(snakemake.input.settings),
        snakemake.params.scenario,
        snakemake.params.seed,
        [{**row, "path": aside(row["path"])} for row in snakemake.params.acquisitions],
        [{**row, "path": aside(row["path"])} for row in snakemake.params.plates],
        aside(snakemake.output.truth),
    )
