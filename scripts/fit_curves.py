from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.doseresponse.curves import fit_curves
    from immunotrace.tables import read_tsv, write_tsv

    tables = fit_curves(read_tsv(snakemake.input.wells), snakemake.params.settings)
    for name, table in tables.items():
        write_tsv(table, aside(snakemake.output[name]))
