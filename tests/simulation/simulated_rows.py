"""Sheet rows for the simulator's tests."""

from pathlib import Path

SEED = 20
PATIENT = {"subject": "MSC01", "role": "patient"}
CONTROL = {"subject": "HC01", "role": "control"}


def tube(who: dict, day: int, panel: str, staining: str = "full", folder: Path = Path(".")) -> dict:
    """A row of one acquisition, to be written into `folder`."""
    name = f"{who['subject']}_{day}_{panel}_{staining.replace(':', '_')}"
    named = {"acquisition": name, "panel": panel, "staining": staining}
    return who | named | {"day": day, "path": str(folder / f"{name}.fcs")}
