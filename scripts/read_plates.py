from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from immunotrace.plates.wells import read_plates
    from immunotrace.tables import write_tsv

    wells, quality = read_plates(snakemake.params.rows, snakemake.params.settings)
    write_tsv(wells, snakemake.output.wells)
    write_tsv(quality, snakemake.output.qc)
