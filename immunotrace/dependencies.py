"""What a script's result depends on besides its inputs: its own text and the modules it imports."""

import ast
import hashlib
import json
from pathlib import Path


def code_digest(script: str | Path, root: str | Path, packages: tuple[str, ...]) -> str:
    """SHA-256 over a script or notebook and all modules of `packages` that it imports, directly or not.

    `root` is the folder in which the packages lie. The digest depends on file contents and module
    names only, so a new checkout of the same code has the same digest.
    """
    root = Path(root)
    found: dict[str, Path] = {}
    waiting = [("", Path(script))]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for imported in _imported_names(_source(path)):
            if imported.split(".")[0] in packages:
                waiting += _module_files(imported, root)
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + b"\0" + _source(found[name]).encode() + b"\0")
    return digest.hexdigest()[:16]


def _source(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def _imported_names(source: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _module_files(name: str, root: Path) -> list[tuple[str, Path]]:
    """The files that importing a dotted name runs; a name that is no module (a function) has none."""
    parts = name.split(".")
    files = []
    for end in range(1, len(parts) + 1):
        dotted = ".".join(parts[:end])
        base = root.joinpath(*parts[:end])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                files.append((dotted, path))
    return files
