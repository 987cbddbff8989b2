from snakemake.utils import min_version

min_version("9.0")


# A configuration given on the command line replaces the bundled case; it does not add to it.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/simulation.smk"
include: "rules/cytometry.smk"
include: "rules/doseresponse.smk"
include: "rules/claims.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        "results/report/report.html",
        "results/report/report.pdf",
        *SUPPLEMENT,


onstart:
    mark_run(".snakemake")
