from immunotrace.joblog import job_log

with job_log(snakemake.log[0]):
    from immunotrace.doseresponse.curves import fit_curves
    from immunotrace.tables import read_tsv, write_tsv

    curves, contrasts, fitted = fit_curves(
        read_tsv(snakemake.input.wells), snakemake.params.settings
    )
    write_tsv(curves, snakemake.output.curves)
    write_tsv(contrasts, snakemake.output.contrasts)
    write_tsv(fitted, snakemake.output.fitted)
