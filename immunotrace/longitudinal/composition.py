"""Composition is not expression: markers standardised to the baseline's mix of cells.

CCR7 and CXCR4 are on more naive than memory T cells, so the share of positive cells falls when naive
cells fall, though no cell expresses less. Direct standardisation weighs what was measured in each
part by the part's share at the subject's baseline, so the mix cannot change the result. The parts are
told apart by CD45RA: a naive gate that uses CCR7 itself would hold CCR7 constant by definition, and
cells that lose CCR7 would leave the gate instead of lowering its value.
"""

import numpy as np
import pandas as pd

from immunotrace.baseline import LAST_DAY
from immunotrace.longitudinal.measurements import positive_or_bound

PARTS = ("CD45RA+", "CD45RA-")
LEVEL = 0.95

_SAMPLE = ["acquisition", "subject", "role", "day", "panel", "population", "marker"]
COLUMNS = [
    *_SAMPLE,
    "percent_positive",
    "percent_positive_adjusted",
    "percent_positive_adjusted_low",
    "percent_positive_adjusted_high",
    "median_all",
    "median_all_adjusted",
    "median_all_adjusted_bound",
    "parts",
    "mix_percent",
    "baseline_mix_percent",
    "percent_positive_adjusted_logit_se",
    "flag",
]


def standardised(
    populations: pd.DataFrame | None, markers: pd.DataFrame | None, parts=PARTS
) -> pd.DataFrame:
    """A row an acquisition, population that was measured with all its `parts`, and marker.

    `populations` and `markers` are the published tables; `parts` are names of populations right within
    another. `percent_positive_adjusted` (Wald interval on the logit scale, counting error alone) is the
    percentage at the mix of the subject's baseline days, `median_all_adjusted` the geometric mean of
    the parts' medians with the same weights (the median of a mixture does not follow from its parts').
    Its `bound` is "<" where a part's median is at or below 0: that part counts as its smallest positive
    one, so the day is below what is told, and not left out.
    `mix_percent` is the share of the first part on the day. Subjects without baseline have no rows.
    """
    if populations is None or markers is None or markers.empty or len(parts) < 2:
        return pd.DataFrame(columns=COLUMNS)
    shares = _shares(populations, parts)
    before = shares[shares["day"] <= LAST_DAY]
    of = ["subject", "panel", "population"]
    baseline = before.groupby(of)[list(parts)].mean().add_suffix(" weight").reset_index()
    table = markers.merge(
        shares[["acquisition", "population", *parts]], on=["acquisition", "population"]
    ).merge(baseline, on=of)
    for part in parts:
        measured = markers.assign(
            population=markers["population"].str.removesuffix("/" + part),
            inside=markers["population"],
        )
        measured = measured[measured["inside"].str.endswith("/" + part)]
        names = {
            name: f"{part} {name}" for name in ("count", "count_positive", "median_all", "flag")
        }
        columns = ["acquisition", "population", "marker", *names]
        table = table.merge(
            measured[columns].rename(columns=names), on=["acquisition", "population", "marker"]
        )
    return _adjusted(table, parts)[COLUMNS].sort_values(_SAMPLE, ignore_index=True)


def _shares(populations: pd.DataFrame, parts) -> pd.DataFrame:
    """The share of each part of all parts together, a row a sample and population that has them all."""
    found = []
    for part in parts:
        inside = populations[populations["population"].str.endswith("/" + part)]
        found.append(
            inside.assign(population=inside["population"].str.removesuffix("/" + part), part=part)
        )
    counts = pd.concat(found).pivot_table(
        index=["acquisition", "subject", "day", "panel", "population"],
        columns="part", values="count", aggfunc="sum",
    )  # fmt: skip
    if not set(parts) <= set(counts.columns):
        counts = counts.reindex(columns=parts)
    counts = counts[list(parts)].dropna()
    counts = counts[counts.sum(axis=1) > 0]
    return counts.div(counts.sum(axis=1), axis=0).reset_index()


def _adjusted(table: pd.DataFrame, parts) -> pd.DataFrame:
    from statistics import NormalDist

    share, variance, log_median = 0.0, 0.0, 0.0
    few, bounded = pd.Series(False, table.index), pd.Series(False, table.index)
    for part in parts:
        weight, count = table[f"{part} weight"], table[f"{part} count"]
        # half an event on both sides, as where fractions are compared
        positive = (table[f"{part} count_positive"] + 0.5) / (count + 1)
        share = share + weight * positive
        variance = variance + weight**2 * positive * (1 - positive) / (count + 1)
        medians, bound = positive_or_bound(table, f"{part} median_all")
        log_median = log_median + weight * np.log(medians)
        bounded |= bound == "<"
        few |= table[f"{part} flag"].fillna("").astype(str).str.contains("few events")
    counted = table["percent_positive"].notna()
    for part in parts:
        counted &= table[f"{part} count"] > 0
    share = share.where(counted)
    error = np.sqrt(variance) / (share * (1 - share))
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * error
    logit = np.log(share / (1 - share))
    return table.assign(
        percent_positive_adjusted=100 * share,
        percent_positive_adjusted_low=100 / (1 + np.exp(half - logit)),
        percent_positive_adjusted_high=100 / (1 + np.exp(-half - logit)),
        percent_positive_adjusted_logit_se=error,
        median_all_adjusted=np.exp(log_median),
        median_all_adjusted_bound=np.where(bounded, "<", ""),
        parts=" and ".join(parts),
        mix_percent=100 * table[parts[0]],
        baseline_mix_percent=100 * table[f"{parts[0]} weight"],
        flag=np.where(few, "few events in a part", ""),
    )
