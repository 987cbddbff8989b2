"""Where files go."""

from pathlib import Path


def ready(path: str | Path) -> Path:
    """The path, its folder made where it was missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
