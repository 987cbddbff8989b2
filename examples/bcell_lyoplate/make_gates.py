"""Write gates.xml (Gating-ML 2.0) from the reference data's gates.json.

    python -m examples.bcell_lyoplate.make_gates ../shared/reference/cytometry/bcell_lyoplate

The reference gives its gates on a scale of 0 to 4096 that is the logicle of Gating-ML 2.0 (T =
262144, W = 0.5, M = 4.5, A = 0) times 4096. The gates are not copied into this repository: their
licence is another.
"""

import json
import math
import sys
from pathlib import Path

import flowkit as fk

from immunotrace.cytometry import gatingml
from immunotrace.cytometry.gates import xml_id
from immunotrace.cytometry.strategy import of_flowkit

SCALE = 4096.0
CHANNELS = {
    "FSC-A": "FSC-A",
    "SSC-A": "SSC-A",
    "Live": "B515-A",
    "CD3": "V450-A",
    "CD19": "B710-A",
    "CD20": "R780-A",
    "IgD": "V545-A",
    "CD27": "G780-A",
    "CD38": "R660-A",
    "CD24": "G560-A",
}


def convert(gates: list[dict]) -> bytes:
    """The gates of gates.json as a Gating-ML 2.0 document."""
    strategy = fk.GatingStrategy()
    strategy.add_transform("logicle", fk.transforms.LogicleTransform(262144, 0.5, 4.5, 0))
    paths = {"root": ("root",)}
    names: dict[str, str] = {}
    for gate in gates:
        name = gate["path"].rpartition("/")[2]
        gate_id = xml_id(name, {*names, "logicle"})
        names[gate_id] = name
        parent = paths[gate["parent"]]
        strategy.add_gate(flowkit_gate(gate, gate_id, paths), parent)
        paths[gate["path"]] = (*parent, gate_id)
    return gatingml.document(of_flowkit(strategy), names)


def flowkit_gate(gate: dict, gate_id: str, paths: dict[str, tuple[str, ...]]):
    """One gate of gates.json; `paths` maps those before it to their paths of IDs."""
    if gate["type"] == "BOOL_GATE":
        references = []
        for operand in gate["boolspec"]:
            *path, name = paths[f"{gate['parent']}/{operand['path']}"]
            references.append({"ref": name, "path": tuple(path), "complement": operand["isNot"]})
        return fk.gates.BooleanGate(gate_id, "and", references)
    scales = [1.0 if name in ("FSC-A", "SSC-A") else SCALE for name in gate["dims"]]
    lows, highs = gate.get("min"), gate.get("max")
    dimensions = []
    for i, name in enumerate(gate["dims"]):
        low, high = (lows[i], highs[i]) if lows else (None, None)
        dimensions.append(
            fk.Dimension(
                CHANNELS[name],
                "uncompensated" if scales[i] == 1 else "FCS",
                None if scales[i] == 1 else "logicle",
                range_min=low / scales[i] if lows and math.isfinite(low) else None,
                range_max=high / scales[i] if lows and math.isfinite(high) else None,
            )
        )
    if gate["type"] == "ELLIPSE_GATE":
        return fk.gates.EllipsoidGate(
            gate_id, dimensions, gate["mu"], gate["cov"], gate["dist"] ** 2
        )
    if gate["type"] == "POLYGON_GATE":
        vertices = [[x / scales[0], y / scales[1]] for x, y in gate["vertices"]]
        return fk.gates.PolygonGate(gate_id, dimensions, vertices)
    return fk.gates.RectangleGate(gate_id, dimensions)


if __name__ == "__main__":
    document = json.loads((Path(sys.argv[1]) / "gates.json").read_text(encoding="utf-8"))
    Path(__file__).with_name("gates.xml").write_bytes(convert(document["gates"]))
