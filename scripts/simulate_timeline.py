"""The clinical course of the simulated case."""

from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from simulation.settings import read_settings
    from simulation.timeline import simulate_timeline

    simulate_timeline(
        read_settings(snakemake.input.settings),
        snakemake.params.scenario,
        snakemake.output.timeline,
        snakemake.output.truth,
    )
