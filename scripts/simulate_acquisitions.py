"""One batch of the simulated case: its FCS files, plate exports and truth."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from simulation.batch import simulate_batch
    from simulation.settings import read_settings

    simulate_batch(
        read_settings(snakemake.input.settings),
        snakemake.params.scenario,
        snakemake.params.seed,
        [{**row, "path": aside(row["path"])} for row in snakemake.params.made["acquisitions"]],
        [{**row, "path": aside(row["path"])} for row in snakemake.params.made["plates"]],
        aside(snakemake.output.truth),
    )
