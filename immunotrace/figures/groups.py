"""Draw a group of figures from its tables and write each, with its data, under one name."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from immunotrace.figures import (
    FIGURES,
    LINEAGES,
    clinical_course,
    hierarchy,
    lineage,
    quality,
    saving,
    style,
)
from immunotrace.figures import steroid_sensitivity as steroid
from immunotrace.tables import read_tsv, write_tsv

Tables = Mapping[str, pd.DataFrame | None]
Drawing = tuple[pd.DataFrame, Callable[[pd.DataFrame], Figure], str]


def read_tables(paths: Mapping[str, str | Sequence[str]]) -> dict[str, pd.DataFrame]:
    """Tables by name; several files of one name are one table, a name without files is left out."""
    tables = {}
    for name, files in paths.items():
        files = [files] if isinstance(files, str) else list(files)
        if files:
            parts = [read_tsv(file) for file in files]
            # A part without rows has no numbers either, and would make text of all others'.
            parts = [part for part in parts if len(part)] or parts[:1]
            tables[name] = pd.concat(parts, ignore_index=True)
    return tables


def draw_group(
    group: str,
    tables: Tables,
    folder: str | Path,
    *,
    simulated: bool,
    days: Sequence[int] = (),
    panels: Sequence[str] = (),
    level: float = 0.95,
    patient: str | None = None,
) -> None:
    """Write every figure of `group` as `folder`/{name}.svg, .pdf, .png and its data as .tsv.

    `tables` holds the published tables by name, and fitted, residuals, densities, panels (the sampled
    events), hierarchy (the steps of gating) and timeline; those that the case lacks are absent or
    None. `days` are all days of the case, so
    that a day has one colour in every figure; `panels` are the panels of the group's lineage; `level`
    is that of the intervals of the dose-response fits. A figure without data is drawn as a note.
    The case is about `patient`: the timeline is theirs, and other patients are told apart from them.
    """
    if patient is not None:
        tables = {name: _of_case(table, name, patient) for name, table in tables.items()}
    if group == "timeline":
        drawings = _timeline(tables, days)
    elif group in LINEAGES.values():
        drawings = _lineage(group, tables, days, panels)
    elif group == "steroid_sensitivity":
        drawings = _steroid(tables, days, level)
    elif group == "quality":
        drawings = _quality(tables)
    else:
        raise ValueError(f"no group of figures is named {group!r}; there are {', '.join(FIGURES)}")
    for name in FIGURES[group]:
        data, draw, what = drawings[name]
        with style.styled():
            figure = style.nothing(what) if data.empty else draw(data)
            saving.save_figure(figure, Path(folder) / name, simulated)
        write_tsv(data, Path(folder) / f"{name}.tsv")


def _of_case(table: pd.DataFrame | None, name: str, patient: str) -> pd.DataFrame | None:
    if table is None or "subject" not in table:
        return table
    other = table["subject"] != patient
    if name == "timeline":
        return table[~other]
    if "role" in table:
        return table.assign(
            role=table["role"].mask(other & (table["role"] == "patient"), style.OTHER_PATIENT)
        )
    return table


def _timeline(tables: Tables, days: Sequence[int]) -> dict[str, Drawing]:
    return {
        "clinical_course": (
            _table(tables, "timeline"),
            lambda data: clinical_course.draw_course(data, days),
            "no timeline",
        )
    }


def _lineage(
    group: str, tables: Tables, days: Sequence[int], panels: Sequence[str]
) -> dict[str, Drawing]:
    def own(name: str) -> pd.DataFrame:
        table = _table(tables, name)
        return table if table.empty else table[table["panel"].isin(panels)]

    populations, markers = own("populations"), own("markers")
    densities, events = own("densities"), own("panels")
    changes, timeline = tables.get("changes"), tables.get("timeline")
    steps = _table(tables, "hierarchy")
    empty = pd.DataFrame()
    measured = not markers.empty
    if populations.empty:
        subsets = empty, lineage.draw_tree, "no population was counted"
    elif populations["day"].nunique() == 1:
        subsets = lineage.tree_data(populations), lineage.draw_tree, "no population was counted"
    else:
        subsets = (
            lineage.subset_data(populations, changes),
            lambda data: lineage.draw_subsets(data, timeline, "95 % Wilson"),
            "no population shares its parent with another",
        )
    return {
        f"{group}_subsets": subsets,
        f"{group}_positive": (
            lineage.positive_data(markers, changes) if measured else empty,
            lambda data: lineage.draw_markers(data, timeline, percent=True, interval="95 % Wilson"),
            "no marker has a threshold",
        ),
        f"{group}_within": (
            lineage.positive_data(markers, changes, within=True) if measured else empty,
            lambda data: lineage.draw_within(data, timeline, "95 % Wilson"),
            "no marker was measured inside another measured population",
        ),
        f"{group}_medians": (
            lineage.median_data(markers, changes) if measured else empty,
            lambda data: lineage.draw_markers(
                data, timeline, percent=False, interval="95 % order-statistic"
            ),
            "no marker was measured",
        ),
        f"{group}_densities": (
            empty if densities.empty else lineage.density_data(densities, populations, markers),
            lambda data: lineage.draw_densities(data, days),
            "no densities",
        ),
        f"{group}_panels": (
            empty if events.empty else lineage.panel_data(events, populations, densities),
            lambda data: lineage.draw_panels(data, days),
            "no pair of markers was sampled",
        ),
        f"{group}_hierarchy": (
            empty if steps.empty else hierarchy.hierarchy_data(steps, populations),
            hierarchy.draw_hierarchy,
            "no gate has an outline",
        ),
    }


def _steroid(tables: Tables, days: Sequence[int], level: float) -> dict[str, Drawing]:
    wells, curves, fitted = (_table(tables, name) for name in ("wells", "curves", "fitted"))
    contrasts, residuals = _table(tables, "contrasts"), _table(tables, "residuals")
    changes, timeline = tables.get("changes"), tables.get("timeline")
    empty = pd.DataFrame()
    drawn = not (wells.empty or curves.empty)
    return {
        "steroid_curves": (
            steroid.curve_data(wells, curves, fitted) if drawn else empty,
            lambda data: steroid.draw_curves(data, curves, level),
            "no plates",
        ),
        "steroid_overlay": (
            steroid.overlay_data(fitted, curves) if drawn else empty,
            lambda data: steroid.draw_overlay(data, days),
            "no plates",
        ),
        "steroid_ic50": (
            steroid.course_data(curves, changes) if drawn else empty,
            lambda data: steroid.draw_course(data, timeline, level),
            "no plates",
        ),
        "steroid_ratios": (
            empty if contrasts.empty else steroid.ratio_data(contrasts),
            lambda data: steroid.draw_ratios(data, level),
            "no curve was compared with a baseline",
        ),
        "steroid_residuals": (residuals, steroid.draw_residuals, "no plates"),
    }


def _quality(tables: Tables) -> dict[str, Drawing]:
    checks, wells = _table(tables, "cytometry_qc"), _table(tables, "wells")
    plate_checks = _table(tables, "plate_qc")
    return {
        "quality_cytometry": (checks, quality.draw_cytometry, "no cytometry"),
        "quality_flow": (
            quality.flow_data(_table(tables, "time")),
            quality.draw_flow,
            "no file with enough events and a Time channel",
        ),
        "quality_plates": (
            wells if wells.empty else quality.plate_data(wells, plate_checks),
            quality.draw_plates,
            "no plates",
        ),
    }


def _table(tables: Tables, name: str) -> pd.DataFrame:
    table = tables.get(name)
    return pd.DataFrame() if table is None else table
