"""Executed notebooks as one document: chapters of numbered blocks, for HTML and PDF alike."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from immunotrace.errors import InputError
from immunotrace.report import markdown

# They turn round what follows them, up to the paragraph's end: no text from a file may do that to ours.
_DIRECTIONS = {c: f"[U+{c:04X}]" for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_SENTENCES = {"text", "paragraphs", "items", "caption"}
MIME = "application/vnd.immunotrace.block+json"


def read_document(notebooks: Sequence[str | Path], case: dict) -> dict:
    """The report's content: title, simulated, scenario, chapters (name, title, id, blocks).

    Figures and tables are numbered through the report. Blocks are those of
    `immunotrace.report.blocks` and the nodes of `immunotrace.report.markdown`; sections come as
    {"kind": "section", text, id}. Raises InputError for a notebook that has no title or was not run.
    """
    numbers = {"figure": 0, "table": 0}
    chapters = [each_text(_chapter(Path(path), numbers), _directions_shown) for path in notebooks]
    return {
        "title": _directions_shown(case["title"]),
        "simulated": bool(case["simulated"]),
        "scenario": case.get("scenario"),
        "chapters": chapters,
    }


def _chapter(path: Path, numbers: dict[str, int]) -> dict:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    title, blocks = None, []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            for node in markdown.parse("".join(cell["source"])):
                if node["kind"] != "heading":
                    blocks.append(node)
                elif node["level"] == 1 and title is None:
                    title = markdown.plain(node["inline"])
                else:
                    blocks.append({"kind": "section", "text": markdown.plain(node["inline"])})
        elif cell["cell_type"] == "code":
            if cell["execution_count"] is None and "".join(cell["source"]).strip():
                raise InputError(
                    f"{path}: the notebook has cells that were not run. Delete it and run again."
                )
            blocks += _outputs(cell)
    if title is None:
        raise InputError(f"{path}: no heading of the first level; expected the chapter's title.")
    sections = 0
    for block in blocks:
        for key in _SENTENCES & block.keys():
            block[key] = each_text(block[key], _kept_together)
        if block["kind"] == "heading":
            block["kind"] = "section"
        if block["kind"] == "section":
            sections += 1
            block["id"] = f"{path.stem}-{sections}"
        if block["kind"] in numbers:
            numbers[block["kind"]] += 1
            block["number"] = numbers[block["kind"]]
    return {"name": path.stem, "id": path.stem, "title": title, "blocks": blocks}


def each_text(value, change: Callable[[str], str]):
    """Nested lists and dicts with every text in them changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {key: each_text(item, change) for key, item in value.items()}
    return value


def _kept_together(text: str) -> str:
    """A text in which no line ends between a number and its percent sign."""
    return re.sub(r"(?<=\d) (?=%)", "\u00a0", text)


def _directions_shown(text: str) -> str:
    return text.translate(_DIRECTIONS)


def _outputs(cell: dict) -> list[dict]:
    return [output["data"][MIME] for output in cell["outputs"] if MIME in output.get("data", {})]
