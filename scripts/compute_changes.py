from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.longitudinal.changes import changes
    from immunotrace.longitudinal.composition import standardised
    from immunotrace.longitudinal.measurements import measurements
    from immunotrace.longitudinal.planning import detectable_changes
    from immunotrace.tables import read_tsv, write_tsv

    params = snakemake.params
    tables = {name: read_tsv(path) for name, path in snakemake.input.items()}
    composition = standardised(
        tables.get("populations"), tables.get("markers"), params.settings["mix"]
    )
    values = measurements(
        tables.get("populations"), tables.get("markers"), tables.get("curves"), composition
    )
    level = params.settings["level"]
    table = changes(
        values,
        params.control,
        level,
        tables.get("contrasts"),
        params.contrast_level,
        params.settings.get("variation"),
    )
    write_tsv(table, aside(snakemake.output.changes))
    write_tsv(detectable_changes(table, params.patient, level), aside(snakemake.output.detectable))
    if tables.get("populations") is not None:
        write_tsv(composition, aside(snakemake.output.composition))
