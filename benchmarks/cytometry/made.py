"""A large FCS file and its gates, as a T-cell panel of 14 channels gives them; nothing is a patient's."""

from pathlib import Path

import numpy as np

from simulation.fcs import write_fcs

DYES = ("Viability", "CD3", "CD4", "CD8", "CD45RA", "CCR7", "CCR4", "CXCR4", "CD25", "CD127")
CHANNELS = ("FSC-A", "FSC-H", "SSC-A", *DYES, "Time")


def write_file(path: Path, count: int, seed: int = 2015) -> None:
    """Write `count` events: cells of four kinds, with debris, doublets, dead cells and spillover."""
    rng = np.random.default_rng(seed)
    chances = {
        "Viability": 0.06,
        "CD3": 0.65,
        "CD4": 0.6,
        "CD8": 0.3,
        "CD45RA": 0.5,
        "CCR7": 0.5,
        "CCR4": 0.15,
        "CXCR4": 0.4,
        "CD25": 0.1,
        "CD127": 0.7,
    }
    spill = np.eye(len(DYES)) + np.triu(rng.uniform(0, 0.08, (len(DYES),) * 2), 1)
    spill += np.tril(rng.uniform(0, 0.02, spill.shape), -1)
    parts = []
    for start in range(0, count, 100_000):  # so that a large file takes little memory
        n = min(100_000, count - start)
        debris, doublet = rng.random(n) < 0.15, rng.random(n) < 0.05
        forward = np.where(debris, 15_000, 80_000) * np.exp(0.18 * rng.standard_normal(n))
        height = forward * np.exp(0.04 * rng.standard_normal(n)) / np.where(doublet, 1.7, 1.0)
        side = np.where(debris, 8_000, 25_000) * np.exp(0.3 * rng.standard_normal(n))
        light = np.empty((n, len(DYES)))
        for at, dye in enumerate(DYES):
            positive = rng.random(n) < chances[dye]
            light[:, at] = np.where(positive, 8_000, 120) * np.exp(0.4 * rng.standard_normal(n))
        light = light @ spill + rng.normal(0, 80, light.shape)
        time = (start + np.arange(n)) / 5_000
        parts.append(np.column_stack([forward, height, side, light, time]).astype("<f4"))
    numbers = ",".join(f"{value:.6f}" for value in spill.ravel())
    keywords = {"$SPILLOVER": f"{len(DYES)},{','.join(DYES)},{numbers}", "$TIMESTEP": "1"}
    write_fcs(path, np.concatenate(parts), [(name, "") for name in CHANNELS], keywords, 262_144)


def strategy():
    """24 populations: polygons, an ellipse, ranges, rectangles, quadrants and booleans; FlowKit's."""
    import flowkit as fk

    made = fk.GatingStrategy()
    made.add_transform("logicle", fk.transforms.LogicleTransform(262_144, 0.5, 4.5, 0))

    def dye(name: str, low: float | None = None, high: float | None = None) -> "fk.Dimension":
        return fk.Dimension(name, "FCS", "logicle", range_min=low, range_max=high)

    def scatter(*names: str) -> list["fk.Dimension"]:
        return [fk.Dimension(name) for name in names]

    cut = 0.53  # about 1,000 on the linear scale
    singlets = [(0, 0), (200_000, 260_000), (350_000, 260_000), (40_000, 30_000)]
    made.add_gate(fk.gates.PolygonGate("singlets", scatter("FSC-A", "FSC-H"), singlets), ("root",))
    path = ("root", "singlets")
    covariance = [[3.6e8, 0], [0, 1.0e8]]
    made.add_gate(
        fk.gates.EllipsoidGate(
            "lymphocytes", scatter("FSC-A", "SSC-A"), [80_000, 26_000], covariance, 9.0
        ),
        path,
    )
    path = (*path, "lymphocytes")
    made.add_gate(fk.gates.RectangleGate("live", [dye("Viability", high=cut)]), path)
    path = (*path, "live")
    made.add_gate(fk.gates.RectangleGate("T", [dye("CD3", cut)]), path)
    path = (*path, "T")
    polygon = [(0.0, cut), (0.4, cut + 0.02), (cut, 0.6), (cut - 0.01, 1.0), (0.0, 1.0)]
    helper = fk.gates.RectangleGate("CD4", [dye("CD4", cut), dye("CD8", high=cut)])
    killer = fk.gates.PolygonGate("CD8", [dye("CD4"), dye("CD8")], polygon)
    for gate in (helper, killer):
        made.add_gate(gate, path)
        own = (*path, gate.gate_name)
        dividers = [
            fk.QuadrantDivider(f"{gate.gate_name}_{name}", name, "FCS", [cut], "logicle")
            for name in ("CD45RA", "CCR7")
        ]
        names = [divider.id for divider in dividers]
        sides = {"neg": (None, cut), "pos": (cut, None)}
        quadrants = [
            fk.gates.Quadrant(f"{gate.gate_name}_RA{a}_R7{b}", names, [x, y])
            for a, x in sides.items()
            for b, y in sides.items()
        ]
        made.add_gate(fk.gates.QuadrantGate(f"{gate.gate_name}_memory", dividers, quadrants), own)
        for name in ("CCR4", "CXCR4", "CD127"):
            made.add_gate(
                fk.gates.RectangleGate(f"{gate.gate_name}_{name}pos", [dye(name, cut)]), own
            )
        regulatory = [dye("CD25", cut), dye("CD127", high=cut)]
        made.add_gate(fk.gates.RectangleGate(f"{gate.gate_name}_CD25pos_CD127neg", regulatory), own)
        operands = [
            {"ref": f"{gate.gate_name}_{name}pos", "path": own, "complement": False}
            for name in ("CCR4", "CXCR4")
        ]
        made.add_gate(
            fk.gates.BooleanGate(f"{gate.gate_name}_CCR4pos_CXCR4pos", "and", operands), own
        )
    return made
