from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.longitudinal import changes, measurements
    from immunotrace.tables import read_tsv, write_tsv

    tables = {name: read_tsv(path) for name, path in snakemake.input.items()}
    values = measurements(tables.get("populations"), tables.get("markers"), tables.get("curves"))
    write_tsv(
        changes(values, snakemake.params.control, **snakemake.params.settings),
        aside(snakemake.output[0]),
    )
