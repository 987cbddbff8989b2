"""One batch of the simulated case: its FCS files, plate exports and truth."""

from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from simulation.batch import simulate_batch
    from simulation.settings import read_settings

    simulate_batch(
        read_settings(snakemake.input.settings),
        snakemake.params.scenario,
        snakemake.params.seed,
        snakemake.params.acquisitions,
        snakemake.params.plates,
        snakemake.output.truth,
    )
