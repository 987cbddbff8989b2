"""The published cytometry tables, joined from those of the batches."""

from immunotrace.joblog import job_log
from immunotrace.outputs import written_aside

with job_log(snakemake.log[0]), written_aside(snakemake.output) as aside:
    from immunotrace.cytometry.acquisition_qc import add_dead_cells
    from immunotrace.cytometry.quantify import cytometry_tables

    parts, joined = snakemake.input, snakemake.output
    cytometry_tables(
        {
            "populations": parts.populations,
            "markers": parts.markers,
            "cytometry_qc": parts.qc,
            "cytometry_qc_channels": parts.channels,
        },
        {
            "populations": aside(joined.populations),
            "markers": aside(joined.markers),
            "cytometry_qc": aside(joined.qc),
            "cytometry_qc_channels": aside(joined.channels),
        },
    )
    add_dead_cells(aside(joined.qc), aside(joined.populations), snakemake.params.live)
