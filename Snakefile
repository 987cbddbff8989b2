from snakemake.utils import min_version

from immunotrace.runlog import follow
from immunotrace.validation import load_yaml

min_version("9.0")

RUN = follow(workflow)


# A configuration given on the command line replaces the bundled case; it does not add to it.
if not workflow.overwrite_configfiles:
    # What Snakemake says of a file that is no YAML names neither the file nor the line.
    settings_file, unreadable = load_yaml("config.yaml")
    if settings_file is None:
        raise SystemExit(f"Error: {unreadable[0]}")

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
        "results/ro-crate-metadata.json",
        # Made for the report anyway; named, so that one that was deleted is made again.
        published_results(),


onstart:
    mark_run(".snakemake", cluster=workflow.non_local_exec)


onsuccess:
    RUN.succeeded()


onerror:
    RUN.failed()
