"""Batches of dose-response curves, their replicates reduced to means."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from immunotrace.doseresponse.models import LOG_ZERO_DOSE, log_dose


@dataclass(frozen=True)
class Curves:
    """Dose means of a batch of curves.

    mean: (doses, curves); log_dose, weight: the same, or (doses, 1) where all curves have one
    design; weight is 0 where a curve has fewer doses. wells, scatter: (curves,), the number of wells
    and the weighted sum of squares within doses.
    """

    log_dose: np.ndarray
    mean: np.ndarray
    weight: np.ndarray
    wells: np.ndarray
    scatter: np.ndarray

    def take(self, columns) -> "Curves":
        one_design = self.log_dose.shape[1] == 1
        return Curves(
            self.log_dose if one_design else self.log_dose[:, columns],
            self.mean[:, columns],
            self.weight if one_design else self.weight[:, columns],
            self.wells[columns],
            self.scatter[columns],
        )

    def tested_range(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest log dose above zero of every curve, each (curves,)."""
        tested = (self.weight > 0) & (self.log_dose > LOG_ZERO_DOSE)
        low = np.where(tested, self.log_dose, np.inf).min(axis=0)
        high = np.where(tested, self.log_dose, -np.inf).max(axis=0)
        return np.broadcast_to(low, self.wells.shape), np.broadcast_to(high, self.wells.shape)

    def log_doses_of(self, i: int) -> np.ndarray:
        """The log doses of curve `i`, ascending."""
        column = 0 if self.log_dose.shape[1] == 1 else i
        return np.sort(self.log_dose[self.weight[:, column] > 0, column])


def summarise(dose: Sequence, response: Sequence, weight: Sequence | None = None) -> Curves:
    """Reduce the wells of each curve to dose means.

    `dose`, `response` and `weight` (1 by default) hold one one-dimensional array a curve, one value
    a well; a dose of 0 is allowed. Raises ValueError where a value is missing or not finite.
    """
    if weight is None and all(np.array_equal(doses, dose[0]) for doses in dose[1:]):
        return summarise_design(dose[0], np.array(response, float))
    columns = []
    for i, (doses, responses) in enumerate(zip(dose, response, strict=True)):
        doses, responses = np.asarray(doses, float), np.asarray(responses, float)
        weights = np.ones(doses.size) if weight is None else np.asarray(weight[i], float)
        if not (doses.shape == responses.shape == weights.shape and np.isfinite(responses).all()):
            raise ValueError("each well needs a finite response, a dose and a weight")
        levels, place = np.unique(log_dose(doses), return_inverse=True)
        total = np.bincount(place, weights)
        mean = np.bincount(place, weights * responses) / total
        scatter = np.sum(weights * (responses - mean[place]) ** 2)
        columns.append((levels, mean, total, doses.size, scatter))
    rows = max(len(column[0]) for column in columns)
    stacked = [
        np.array([np.pad(column[j], (0, rows - len(column[j]))) for column in columns]).T
        for j in range(3)
    ]
    wells = np.array([column[3] for column in columns])
    return Curves(*stacked, wells, np.array([column[4] for column in columns]))


def summarise_design(dose: np.ndarray, response: np.ndarray) -> Curves:
    """Reduce curves of one design to dose means: `dose` (wells,), `response` (curves, wells)."""
    dose, response = np.asarray(dose, float), np.asarray(response, float)
    if response.ndim != 2 or response.shape[1:] != dose.shape or not np.isfinite(response).all():
        raise ValueError("each well needs a finite response and a dose")
    levels, place = np.unique(log_dose(dose), return_inverse=True)
    count = np.bincount(place).astype(float)
    member = (place == np.arange(levels.size)[:, None]) / count[:, None]
    mean = member @ response.T
    scatter = np.zeros(len(response))
    for well, row in enumerate(place):
        scatter += (response[:, well] - mean[row]) ** 2
    wells = np.full(len(response), dose.size)
    return Curves(levels[:, None], mean, count[:, None], wells, scatter)
