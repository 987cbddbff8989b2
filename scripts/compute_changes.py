from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from immunotrace.longitudinal import changes, measurements
    from immunotrace.tables import read_tsv, write_tsv

    tables = {name: read_tsv(path) for name, path in snakemake.input.items()}
    values = measurements(tables.get("populations"), tables.get("markers"), tables.get("curves"))
    write_tsv(
        changes(values, snakemake.params.control, **snakemake.params.settings),
        snakemake.output[0],
    )
