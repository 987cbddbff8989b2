"""The report: notebooks write blocks, which are compiled into one HTML file and one PDF."""

CHAPTERS: tuple[str, ...] = (
    "summary",
    "timeline",
    "t_cells",
    "b_cells",
    "steroid_sensitivity",
    "quality",
    "methods",
)
"""The chapters in the order of the report; those without data are left out of a case's report."""
