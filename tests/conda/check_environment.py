"""What an environment lacks: `PREFIX/bin/python -I check_environment.py ROOT PIP FILE...`.

Imports everything that the scripts and notebooks FILE import, in functions too, and what the
modules under ROOT import that these import. Run by the environment's own Python with -I, so
that no library of Snakemake's own environment is found. Compares besides what pip installed with
PIP, the environment file's `pip:` section ("name==version name==version"). Prints a line for
every fault; the exit code is 1 where there is one. What it cannot see: a package that is needed
without being imported, such as a Jupyter kernel; only a run shows that.
"""

import ast
import json
import sys
from importlib.metadata import distributions
from pathlib import Path


def source(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def failed_imports(root: Path, files: list[Path]) -> list[str]:
    """A line for each error that an import raised, with the first place where it did."""
    faults, waiting, seen = {}, list(files), set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        for node in ast.walk(ast.parse(source(file))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                try:
                    exec(ast.unparse(node), {})
                except Exception as error:
                    faults.setdefault(str(error), f"{file.relative_to(root)} line {node.lineno}")
        loaded = {Path(m.__file__) for m in sys.modules.values() if getattr(m, "__file__", None)}
        ours = {p for p in loaded if p.is_relative_to(root) and not p.is_relative_to(sys.prefix)}
        waiting += ours - seen - set(waiting)
    return [f"{place}: {error}" for error, place in faults.items()]


def pip_differences(section: str) -> list[str]:
    found = {
        f"{d.name}=={d.version}".lower()
        for d in distributions()
        if (d.read_text("INSTALLER") or "").strip() == "pip"
    }
    named = set(section.lower().split())
    return [f"installed by pip, but not in the pip section: {x}" for x in sorted(found - named)] + [
        f"in the pip section, but not installed by pip: {x}" for x in sorted(named - found)
    ]


if __name__ == "__main__":
    root = Path(sys.argv[1])
    sys.path.append(str(root))
    faults = failed_imports(root, [Path(file) for file in sys.argv[3:]])
    faults += pip_differences(sys.argv[2])
    print("\n".join(faults) or f"{len(sys.argv) - 3} files: everything they import is there")
    sys.exit(bool(faults))
