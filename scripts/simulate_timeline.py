"""The clinical course of the simulated case."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from simulation.settings import read_settings
    from simulation.timeline import simulate_timeline

    simulate_timeline(
        read_settings(snakemake.input.settings),
        snakemake.params.scenario,
        aside(snakemake.output.timeline),
        aside(snakemake.output.truth),
    )
