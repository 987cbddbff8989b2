"""Where data-driven gates go: singlets, the scatter region of a cell type, valleys between two peaks.

Pure functions over arrays of finite numbers on the linear scale. Nothing here is random.
"""

import math

import numpy as np

# Bandwidth of the density in e-folds: about the width that counting noise gives a dim peak.
_BANDWIDTH = 0.2
_STEP = 0.02


def singlet_limits(area: np.ndarray, height: np.ndarray, k: float = 4.0) -> tuple[float, float]:
    """Lowest and highest ratio of pulse area to height of single cells.

    Two cells in the beam at once have the area of two and the height of about one. The limits are
    `k` robust standard deviations of the log ratio on either side of its mode; the deviation is
    taken below the mode, where no doublets are. Fewer than 10 positive events: any ratio.
    """
    good = (area > 0) & (height > 0)
    if good.sum() < 10:
        return 0.0, math.inf
    centre, spread = _mode_and_lower_spread(np.log(area[good] / height[good]))
    return math.exp(centre - k * spread), math.exp(centre + k * spread)


def singlet_polygon(area: np.ndarray, height: np.ndarray, top: float, k: float = 4.0) -> np.ndarray:
    """Vertices (4, 2) in (area, height) of the wedge between the `singlet_limits`, up to `top`."""
    low, high = singlet_limits(area, height, k)
    high = min(high, 100.0)
    return np.array([[0.0, 0.0], [low * top, top], [high * top, top], [high, 1.0]])


def _mode_and_lower_spread(values: np.ndarray) -> tuple[float, float]:
    """The mode of a smoothed histogram and the robust standard deviation below it."""
    low, high = np.quantile(values, [0.005, 0.995])
    if high <= low:
        return float(low), 1e-6
    counts, edges = np.histogram(values, bins=256, range=(low, high))
    quartiles = np.quantile(values, [0.25, 0.75])
    # A mode wants a wider kernel than a density: n^(-1/7) (Romano 1988, Ann Stat 16:629).
    bandwidth = 0.9 * (quartiles[1] - quartiles[0]) / 1.349 * values.size ** (-1 / 7)
    smooth = _smooth(counts.astype(float), max(1.0, bandwidth / (edges[1] - edges[0])))
    centre = float(0.5 * (edges[np.argmax(smooth)] + edges[np.argmax(smooth) + 1]))
    below = centre - values[values <= centre]
    # The median distance of a half-normal is 0.6745 standard deviations.
    return centre, max(float(np.median(below)) / 0.6745, 1e-6)


def _smooth(counts: np.ndarray, sd: float) -> np.ndarray:
    """Gaussian smoothing of a 1-D array; `sd` in cells."""
    reach = math.ceil(4 * sd)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2)
    # Not mode="same", which has the length of the kernel where that is the longer.
    return np.convolve(counts, kernel / kernel.sum())[reach : reach + len(counts)]


def scatter_ellipse(
    points: np.ndarray,
    tops: tuple[float, float],
    minimum: tuple[float, float] = (0.0, 0.0),
    coverage: float = 0.998,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre (2,), covariance (2, 2) and squared distance of the ellipse round the densest cluster.

    `points` is (n, 2), forward and side scatter area on the linear scale, `tops` the ends of the
    two ranges. Only clusters whose centre is at or above `minimum` count, which keeps debris out.
    The cluster is the highest mode of a smoothed 2-D histogram; mean and covariance come from the
    events within its 80 % ellipse, corrected for that truncation, again and again until they hold
    still, so that neighbours do not drag them. The ellipse then holds `coverage` of a normal
    cluster. Fewer than 50 events: an ellipse round all of them.
    """
    distance = -2.0 * math.log1p(-coverage)
    if len(points) < 50:
        centre = points.mean(axis=0) if len(points) else np.array(tops) / 2
        return centre, np.diag((np.array(tops) / 4) ** 2), distance
    bins = 128
    counts, x_edges, y_edges = np.histogram2d(
        points[:, 0], points[:, 1], bins=bins, range=[(0.0, tops[0]), (0.0, tops[1])]
    )
    density = np.apply_along_axis(_smooth, 0, counts, 2.5)
    density = np.apply_along_axis(_smooth, 1, density, 2.5)
    density[x_edges[:-1] < minimum[0], :] = 0.0
    density[:, y_edges[:-1] < minimum[1]] = 0.0
    i, j = np.unravel_index(np.argmax(density), density.shape)
    centre = np.array([x_edges[i] + x_edges[i + 1], y_edges[j] + y_edges[j + 1]]) / 2
    covariance = np.diag((np.array(tops) * 0.03) ** 2)
    q = -2.0 * math.log1p(-0.8)
    # Share of a 2-D normal's variance that is left when it is cut at squared distance q.
    left = 1.0 - (q / 2) * math.exp(-q / 2) / (1.0 - math.exp(-q / 2))
    for _ in range(100):
        offset = points - centre
        inside = np.einsum("ij,jk,ik->i", offset, np.linalg.inv(covariance), offset) <= q
        if inside.sum() < 20:
            break
        new_centre = points[inside].mean(axis=0)
        new_covariance = np.cov(points[inside].T) / left
        moved = np.abs(new_covariance - covariance).max() / np.abs(covariance).max()
        centre, covariance = new_centre, new_covariance
        if moved < 1e-4:
            break
    return centre, covariance, distance


def _cofactor(values: np.ndarray, top: float, reach: float) -> float:
    """The cofactor of asinh(value / cofactor) for a scale that ends at `top`.

    It is 150 on a scale of 262,144 and in proportion on others, or where noise goes further below
    zero, `reach` times as far as its lowest 5 %. On a scale whose linear part is narrower than the
    noise, one population round zero shows two peaks; with a reach of 1 it does not, and with 3 its
    tails are about those of a normal distribution. A log-normal population is symmetric with each.
    """
    return max(150.0 * top / 262_144, -reach * float(np.quantile(values, 0.05)))


def valley(values: np.ndarray, top: float, minimum_fraction: float = 0.002) -> float | None:
    """The linear value between two peaks of `values`, None where there are not two.

    The density is a Gaussian kernel estimate on an asinh scale. Of all minima between two
    peaks that stand out of the counting noise (four standard errors, Poisson), with
    `minimum_fraction` of the events or more on either side, the deepest relative to the lower of
    its two peaks is taken.
    """
    n = values.size
    if n == 0:
        return None
    factor = _cofactor(values, top, reach=1)
    scaled = np.arcsinh(values / factor)
    ends = np.arcsinh(np.array([-top, 2 * top]) / factor)
    grid = np.arange(ends[0], ends[1], _STEP)
    edges = np.append(grid - _STEP / 2, grid[-1] + _STEP / 2)
    counts, _ = np.histogram(np.clip(scaled, grid[0], grid[-1]), bins=edges)
    effective = _effective_counts(counts, _BANDWIDTH / _STEP * max(1.0, (2000 / n) ** 0.2))
    lower_peak = np.minimum(
        np.maximum.accumulate(effective), np.maximum.accumulate(effective[::-1])[::-1]
    )
    below = np.cumsum(counts) / n
    candidates = np.flatnonzero(
        (_excess(lower_peak, effective) >= 4)
        & (below >= minimum_fraction)
        & (below <= 1 - minimum_fraction)
    )
    if not candidates.size:
        return None
    depth = (lower_peak[candidates] + 1) / (effective[candidates] + 1)
    deepest = candidates[depth >= depth.max() * (1 - 1e-9)]
    return float(factor * np.sinh(grid[deepest[deepest.size // 2]]))


def beside_peak(
    values: np.ndarray, top: float, single_peak: str = "negative", minimum_fraction: float = 0.002
) -> tuple[float, str]:
    """The cut of linear `values` with one peak, and how it was found.

    The peak is taken as the negative or the positive population, as `single_peak` says; but one in
    the linear part of the asinh scale is negative in any case. Its outer flank, mirrored, is what
    that population would look like alone: the cut is where the events on the inner side become
    twice as many as that, if `minimum_fraction` of all events are in excess (`shoulder`); where they
    never do, it is four robust standard deviations from the peak (`spread`). All this on an asinh
    scale. No events: 0 (`empty`).
    """
    n = values.size
    if n == 0:
        return 0.0, "empty"
    factor = _cofactor(values, top, reach=3)
    sign = 1.0 if single_peak == "negative" or np.median(values) < factor else -1.0
    scaled = np.arcsinh(sign * values / factor)
    centre, spread = _mode_and_lower_spread(scaled)
    cells = 20  # a standard deviation
    edges = centre + spread * (np.arange(-6 * cells, 6 * cells + 1) / cells)
    counts, _ = np.histogram(scaled, bins=edges)
    effective = _effective_counts(counts, 0.25 * cells * max(1.0, (2000 / n) ** 0.2))
    grid = (edges[:-1] + edges[1:]) / 2
    shoulder = np.flatnonzero(
        # Within two deviations the flanks differ by noise alone; beyond four there is no need.
        (_excess(effective, 2 * effective[::-1]) >= 3)
        & (grid >= centre + 2 * spread)
        & (grid < centre + 4 * spread)
    )
    cut, found = centre + 4 * spread, "spread"
    if shoulder.size:
        here = grid[shoulder[0]]
        if np.sum(scaled >= here) - np.sum(scaled <= 2 * centre - here) >= minimum_fraction * n:
            cut, found = here, "shoulder"
    return float(sign * factor * np.sinh(cut)), found


def _effective_counts(counts: np.ndarray, sd: float) -> np.ndarray:
    """Events within the effective width of a Gaussian kernel (`sd` in cells) round each cell."""
    return _smooth(counts.astype(float), sd) * 2 * math.sqrt(math.pi) * sd


def _excess(more: np.ndarray, fewer: np.ndarray) -> np.ndarray:
    """By how many standard errors counts differ; the root of a Poisson count has one of 1/2."""
    return 2 * (np.sqrt(more + 0.375) - np.sqrt(fewer + 0.375))
