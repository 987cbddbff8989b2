"""What a job's result depends on besides its inputs and settings: code, environment, templates."""

import hashlib
import json
import re
from pathlib import Path

from immunotrace.validation import load_yaml

# Lines that may be imports; parsing all modules would take longer than the rest of reading them.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]*\)|.*)|import[ \t]+(.*))", re.MULTILINE
)


class Dependencies:
    """Digests of files and of all modules of `packages` that they import, directly or not.

    `root` is the folder in which the packages lie; files are named relative to it. A digest depends on
    contents and names only, so a new checkout of the same code has the same digest. Of a notebook the
    cells' sources count, of YAML the data (not its comments), of other files the text. Every file is
    read once: a digest tells of the files as they were when first asked for.
    """

    def __init__(self, root: str | Path, packages: tuple[str, ...]) -> None:
        self.root, self.packages = Path(root), packages
        self._known: dict[str, tuple[bytes, list[str]]] = {}

    def digest(self, *files: str) -> str:
        """One digest over `files` and the modules that those of them with code import."""
        found: set[str] = set()
        waiting = list(files)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._read(name)[1]
        digest = hashlib.sha256()
        for name in sorted(found):
            digest.update(name.encode() + b"\0" + self._read(name)[0])
        return digest.hexdigest()[:16]

    def _read(self, name: str) -> tuple[bytes, list[str]]:
        """The digest of a file's content, and the files that it imports."""
        if name not in self._known:
            content, source = _content(self.root / name)
            modules = {
                file
                for imported in _imported_names(source)
                if imported.split(".")[0] in self.packages
                for file in self._module_files(imported)
            }
            self._known[name] = hashlib.sha256(content.encode()).digest(), sorted(modules)
        return self._known[name]

    def _module_files(self, name: str) -> list[str]:
        """The files that importing a dotted name runs; a name that is no module (a function) has none."""
        parts = name.split(".")
        paths = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        candidates = [file for path in paths for file in (f"{path}.py", f"{path}/__init__.py")]
        return [file for file in candidates if (self.root / file).is_file()]


def _content(path: Path) -> tuple[str, str]:
    """What of a file counts, and the Python code in it."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text, text
    if path.suffix == ".ipynb":
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
        return json.dumps(cells), "\n".join(source for kind, source in cells if kind == "code")
    if path.suffix == ".yaml":
        return json.dumps(load_yaml(str(path))[0].data, sort_keys=True), ""
    return text, ""


def _imported_names(source: str) -> list[str]:
    names = []
    for module, objects, modules in _IMPORT.findall(source):
        listed = re.sub(r"#.*", "", objects or modules).strip("() \n").split(",")
        words = [part.split()[0] for part in listed if part.strip()]
        names += [module, *(f"{module}.{word}" for word in words)] if module else words
    return names
