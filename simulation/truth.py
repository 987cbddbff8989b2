"""What was simulated, population by population: counted from the labels, and as planned."""

from dataclasses import dataclass

import numpy as np

from simulation.biology import LINEAGES, PARTS, RECEPTORS, SUBSETS, Blood
from simulation.cells import Cells
from simulation.instrument import spillover_matrix

LIVE = "singlets/lymphocytes/live"


@dataclass(frozen=True)
class Population:
    """A population by the labels: kinds of cell by prefix, and markers present or absent."""

    path: str
    kinds: tuple[str, ...] = ()  # empty: any
    markers: tuple[tuple[str, bool], ...] = ()
    live: bool = False
    needs: tuple[str, ...] = ()  # stains without which nobody can see it

    @property
    def parent(self) -> str:
        return self.path.rpartition("/")[0]


def populations(panel: str) -> list[Population]:
    """The populations of a panel, parents first."""
    lymphocytes = ("T", "B", "NK")
    base = [
        Population("singlets"),
        Population("singlets/lymphocytes", lymphocytes),
        Population(LIVE, lymphocytes, live=True, needs=("Viability",)),
    ]
    if panel == "B":
        seen = ("Viability", "CD19")
        path = f"{LIVE}/B cells"
        return [
            *base,
            Population(path, ("B",), live=True, needs=seen),
            *(
                Population(
                    f"{path}/{name}", (f"B {name}",), live=True, needs=(*seen, "CD27", "IgD")
                )
                for name in SUBSETS
            ),
        ]
    seen = ("Viability", "CD3")
    found = [*base, Population(f"{LIVE}/T cells", ("T ",), live=True, needs=seen)]
    for lineage in LINEAGES[:2]:
        path, lineage_seen = f"{LIVE}/T cells/{lineage}", (*seen, "CD4", "CD8")
        found.append(Population(path, (f"T {lineage}",), live=True, needs=lineage_seen))
        for part in PARTS:
            kind = (f"T {lineage} {part}",)
            part_seen = (*lineage_seen, "CD45RA")
            found.append(Population(f"{path}/{part}", kind, live=True, needs=part_seen))
        for name, part, ccr7 in (
            ("naive", "CD45RA+", True),
            ("central memory", "CD45RA-", True),
            ("effector memory", "CD45RA-", False),
            ("TEMRA", "CD45RA+", False),
        ):
            kind = (f"T {lineage} {part}",)
            found.append(
                Population(
                    f"{path}/{name}",
                    kind,
                    (("CCR7", ccr7),),
                    True,
                    (*lineage_seen, "CD45RA", "CCR7"),
                )
            )
    return found


def measured_markers(panel: str) -> tuple[str, ...]:
    """The markers whose expression is counted within the panel's lineage."""
    return RECEPTORS if panel == "T" else ("CD27", "IgD", "IgM")


def counted(
    settings: dict,
    panel: str,
    cells: Cells,
    stained: np.ndarray,
    compensated: np.ndarray,
    undisturbed: np.ndarray,
) -> dict:
    """Counts, percentages and medians of a tube's events, from their labels.

    The medians are of the dye's own signal and the autofluorescence as a perfect compensation would
    show them, without noise and clog. Those `_with_noise` are of what the instrument wrote
    (`compensated`: events x markers) in events that no clog disturbed: what perfect gates would
    find. What a missing stain hides is left out.
    """
    visible = {name for name, there in zip(cells.markers, stained, strict=True) if there}
    _, spill = spillover_matrix(settings["panels"][panel])
    background = cells.own_light @ np.linalg.inv(spill)
    counts: dict[str, int] = {"": len(cells.kind)}
    table, expression = {}, {}
    for population in populations(panel):
        if not visible.issuperset(population.needs):
            continue
        mask = ~cells.doublet
        if population.kinds:
            mask &= np.any([cells.is_kind(prefix) for prefix in population.kinds], axis=0)
        if population.live:
            mask &= ~cells.dead
        for marker, wanted in population.markers:
            mask &= cells.has(marker) == wanted
        count = int(mask.sum())
        counts[population.path] = count
        parents = counts[population.parent]
        table[population.path] = {
            "count": count,
            "parent_count": parents,
            "percent_of_parent": _percent(count, parents),
        }
        if not _within_lineage(panel, population.path):
            continue
        expression[population.path] = {}
        for marker in measured_markers(panel):
            if marker not in visible:
                continue
            column = cells.markers.index(marker)
            carries = cells.positive[mask, column]
            signal = cells.dyes[mask, column] + background[mask, column]
            seen = compensated[mask & undisturbed, column]
            seen_positive = compensated[mask & undisturbed & cells.positive[:, column], column]
            expression[population.path][marker] = {
                "count": count,
                "count_positive": int(carries.sum()),
                "percent_positive": _percent(int(carries.sum()), count),
                "median_all": _median(signal),
                "median_positive": _median(signal[carries]),
                "median_all_with_noise": _median(seen),
                "median_positive_with_noise": _median(seen_positive),
            }
    return {"populations": table, "markers": expression}


def planned(panel: str, blood: Blood) -> dict:
    """Percentages that the parameters imply, of populations within the lineage and its markers."""
    table, expression = {}, {}
    weights: dict[str, float] = {}
    for population in populations(panel):
        if not population.live:
            continue
        shares = {}
        for kind, share in blood.abundance[panel].items():
            if not kind.startswith(population.kinds):
                continue
            for marker, wanted in population.markers:
                positive = blood.positive[panel][kind].get(marker, 0.0)
                share *= positive if wanted else 1 - positive
            shares[kind] = share
        total = sum(shares.values())
        weights[population.path] = total
        if population.parent in weights:
            table[population.path] = _percent(total, weights[population.parent])
        fixed = dict(population.markers)
        if _within_lineage(panel, population.path):
            expression[population.path] = {
                marker: _percent(
                    sum(
                        share * blood.positive[panel][kind].get(marker, 0.0)
                        for kind, share in shares.items()
                    ),
                    total,
                )
                for marker in measured_markers(panel)
                # Receptors are correlated: within a subset chosen by CCR7 no simple product holds.
                if not fixed
            }
    return {"percent_of_parent": table, "percent_positive": expression}


def _within_lineage(panel: str, path: str) -> bool:
    within = (
        (f"{LIVE}/T cells/CD4", f"{LIVE}/T cells/CD8") if panel == "T" else (f"{LIVE}/B cells",)
    )
    return path.startswith(within)


def _percent(count: float, total: float) -> float | None:
    return round(100 * count / total, 6) if total else None


def _median(values: np.ndarray) -> float | None:
    return float(f"{np.median(values):.6g}") if len(values) else None
