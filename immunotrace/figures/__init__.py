"""Figures, drawn from the tables alone. A group of figures belongs to one chapter of the report."""

LINEAGES = {"T": "t_cells", "B": "b_cells"}

_LINEAGE_FIGURES = ("subsets", "positive", "within", "medians", "densities", "panels", "hierarchy")

FIGURES: dict[str, tuple[str, ...]] = {
    "timeline": ("clinical_course",),
    "t_cells": tuple(f"t_cells_{name}" for name in _LINEAGE_FIGURES),
    "b_cells": tuple(f"b_cells_{name}" for name in _LINEAGE_FIGURES),
    "steroid_sensitivity": tuple(
        f"steroid_{name}" for name in ("curves", "overlay", "ic50", "ratios", "residuals")
    ),
    "quality": ("quality_cytometry", "quality_flow", "quality_plates"),
}
"""The figures of each group; a figure without data is written all the same and says so."""
