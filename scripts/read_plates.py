from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside
from immunotrace.privacy import names_of

with (
    job_log(snakemake.log[0], names_of(snakemake.params.rows)),
    written_aside(snakemake.output) as aside,
):
    from immunotrace.plates.wells import read_plates
    from immunotrace.tables import write_tsv

    wells, quality = read_plates(snakemake.params.rows, snakemake.params.settings)
    write_tsv(wells, aside(snakemake.output.wells))
    write_tsv(quality, aside(snakemake.output.qc))
