"""The report: notebooks write blocks, which are compiled into one HTML file and one PDF."""

CHAPTER_TABLES: dict[str, tuple[str, ...]] = {
    "what_is_new": ("what_is_new",),
    "summary": (
        *("populations", "cytometry_qc", "plate_qc", "curves", "claims", "detectable_changes"),
        "timeline",
    ),
    "timeline": ("populations", "curves", "timeline"),
    "t_cells": ("populations", "markers", "changes"),
    "b_cells": ("populations", "markers", "changes"),
    "steroid_sensitivity": ("wells", "curves", "contrasts", "changes"),
    "quality": ("cytometry_qc", "cytometry_qc_channels", "populations", "wells", "plate_qc"),
    "methods": ("populations", "curves", "record"),
    "provenance": (
        *("populations", "markers", "cytometry_qc", "plate_qc", "curves", "claims"),
        "software",
    ),
}
"""The chapters in the order of the report, and the tables that each reads besides its figures."""

CHAPTERS: tuple[str, ...] = tuple(CHAPTER_TABLES)
"""Those without data are left out of a case's report."""
