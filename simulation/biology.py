"""What is in a subject's blood on a day: the parameters from which cells and curves are drawn."""

from dataclasses import dataclass
from math import exp, log

from simulation.randomness import deviation, generator
from simulation.settings import choose

LINEAGES = ("CD4", "CD8", "double negative")
PARTS = ("CD45RA+", "CD45RA-")
RECEPTORS = ("CCR7", "CCR4", "CXCR4")
SUBSETS = {  # of B cells: CD27, IgD
    "naive": (0.0, 1.0),
    "unswitched memory": (1.0, 1.0),
    "switched memory": (1.0, 0.0),
    "double negative": (0.0, 0.0),
}
OTHER = ("NK", "monocyte", "granulocyte")


@dataclass(frozen=True)
class Blood:
    """Parameters of one subject on one day.

    abundance: panel -> kind of cell -> fraction of all cells (debris and doublets aside).
    positive: panel -> kind of cell -> marker -> fraction of cells that carry the marker.
    log_intensity: marker -> log factor of the stain's brightness on that day.
    log_expression: marker -> log factor of the positive cells' brightness by the scenario's effect.
    log_autofluorescence: log factor of the autofluorescence.
    dead: fraction of cells.
    midpoint (ng/ml), plateau (fraction of inhibition), hill: of the steroid's dose-response curve.
    """

    abundance: dict[str, dict[str, float]]
    positive: dict[str, dict[str, dict[str, float]]]
    log_intensity: dict[str, float]
    log_expression: dict[str, float]
    log_autofluorescence: float
    dead: float
    midpoint: float
    plateau: float
    hill: float


def course(settings: dict, name: str, day: float) -> float:
    """The value of a course on a day: 0 up to the first infusion, about 1 at its height."""
    shape = settings["courses"][name]
    if day <= 0:
        return 0.0
    if name == "transient":
        relative = day / shape["peak_day"]
        return relative ** shape["shape"] * exp(shape["shape"] * (1 - relative))
    return (1 - exp(-day / shape["onset_days"])) * exp(-day / shape["waning_days"])


def effects(settings: dict, scenario: str, role: str, day: int) -> dict[str, dict[str, float]]:
    """The scenario's effects on a day: target -> scale (logit, log, log_intensity) -> size.

    All are zero in the control.
    """
    sign = choose(settings["scenarios"], scenario, "scenario")["sign"]
    if role != "patient":
        sign = 0
    return {
        target: {
            scale: sign * size * course(settings, effect["course"], day)
            for scale, size in effect.items()
            if scale != "course"
        }
        for target, effect in settings["effects"].items()
    }


def blood(
    settings: dict,
    scenario: str,
    seed: int,
    subject: str,
    role: str,
    day: int,
    with_variation: bool = True,
) -> Blood:
    """The parameters of a subject on a day; without variation, those that the scenario plans.

    Two settings that the bundled case does not use: an effect `CD45RA` (logit) shifts the mix of naive
    and memory cells, and `batch_effects` (day -> name of a quantity -> size) moves all subjects.
    """
    base = choose(settings["roles"], role, "role")
    effect = effects(settings, scenario, role, day)

    # What a run (a new lot of antibody, another technician) adds to a quantity of every subject.
    batch = settings.get("batch_effects", {}).get(day, {})

    def vary(kind: str, name: str, part: str = "") -> float:
        if not with_variation:
            return 0.0
        own = deviation(seed, settings["variation"][kind], subject, day, name, part)
        return own + batch.get(name, 0.0)

    def mix(weights: dict[str, float]) -> dict[str, float]:
        varied = {name: weight * exp(vary("composition", name)) for name, weight in weights.items()}
        return _normalised(varied)

    leukocytes, lymphocytes = mix(base["leukocytes"]), mix(base["lymphocytes"])
    lineages = mix(base["T"])
    subsets = mix({f"B {name}": weight for name, weight in base["B"].items()})
    switched = _shift(subsets["B switched memory"], effect["switched memory"]["logit"])
    subsets = _replaced(subsets, "B switched memory", switched)

    inside = {name: leukocytes["lymphocytes"] * share for name, share in lymphocytes.items()}
    others = {
        "NK": inside["NK"],
        "monocyte": leukocytes["monocytes"],
        "granulocyte": leukocytes["granulocytes"],
    }
    t_kinds, t_positive = {}, {}
    for lineage in LINEAGES:
        moved = effect["CD45RA"]["logit"] if "CD45RA" in effect else 0.0
        naive_like = _shift(base["CD45RA+"][lineage], moved + vary("fraction", "CD45RA", lineage))
        for part in PARTS:
            kind = f"T {lineage} {part}"
            share = naive_like if part == "CD45RA+" else 1 - naive_like
            t_kinds[kind] = inside["T"] * lineages[lineage] * share
            t_positive[kind] = {
                "CD3": 1.0,
                "CD4": float(lineage == "CD4"),
                "CD8": float(lineage == "CD8"),
                "CD45RA": float(part == "CD45RA+"),
            } | {
                receptor: _shift(
                    base["receptors"][receptor][part][lineage],
                    effect[receptor]["logit"] + vary("fraction", receptor, lineage),
                )
                for receptor in RECEPTORS
            }
    b_positive = {
        f"B {name}": {"CD19": 1.0, "CD27": cd27, "IgD": igd, "IgM": base["IgM"][name]}
        for name, (cd27, igd) in SUBSETS.items()
    }
    markers = {marker for panel in settings["panels"].values() for marker in panel["markers"]}
    low, high = settings["contents"]["dead"]
    dead = (low + high) / 2
    if with_variation:
        dead = float(generator(seed, "dead", subject, day).uniform(low, high))
    steroid = base["steroid"]
    return Blood(
        abundance={
            "T": t_kinds | {"B": inside["B"]} | others,
            "B": {name: inside["B"] * share for name, share in subsets.items()}
            | {"T": inside["T"]}
            | others,
        },
        positive={
            "T": settings["panels"]["T"]["classes"] | t_positive,
            "B": settings["panels"]["B"]["classes"] | b_positive,
        },
        log_intensity={marker: vary("intensity", marker) for marker in sorted(markers)},
        log_expression={receptor: effect[receptor]["log_intensity"] for receptor in RECEPTORS},
        log_autofluorescence=vary("autofluorescence", "autofluorescence"),
        dead=dead,
        midpoint=steroid["midpoint"]
        * exp(effect["steroid midpoint"]["log"] + vary("steroid midpoint", "steroid midpoint")),
        plateau=_shift(steroid["plateau"], vary("steroid plateau", "steroid plateau")),
        hill=steroid["hill"] * exp(vary("steroid hill", "steroid hill")),
    )


def _shift(fraction: float, logits: float) -> float:
    return 1 / (1 + exp(-(log(fraction / (1 - fraction)) + logits)))


def _normalised(weights: dict[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _replaced(shares: dict[str, float], name: str, share: float) -> dict[str, float]:
    """The shares with one of them replaced; the others keep their proportions."""
    rest = (1 - share) / (1 - shares[name])
    return {other: share if other == name else old * rest for other, old in shares.items()}
