"""Executed notebooks as one document: chapters of numbered blocks, for HTML and PDF alike."""

import json
import re
from collections.abc import Sequence
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
    chapters = [_directions_shown(_chapter(Path(path), numbers)) for path in notebooks]
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
            block[key] = _kept_together(block[key])
        if block["kind"] == "heading":
            block["kind"] = "section"
        if block["kind"] == "section":
            sections += 1
            block["id"] = f"{path.stem}-{sections}"
        if block["kind"] in numbers:
            numbers[block["kind"]] += 1
            block["number"] = numbers[block["kind"]]
    return {"name": path.stem, "id": path.stem, "title": title, "blocks": blocks}


def _kept_together(text):
    """Texts in which no line ends between a number and its percent sign."""
    if isinstance(text, str):
        return re.sub(r"(?<=\d) (?=%)", "\u00a0", text)
    if isinstance(text, list):
        return [_kept_together(item) for item in text]
    return {key: _kept_together(value) for key, value in text.items()}


def _directions_shown(value):
    """The same with the characters that turn text round written as their code points."""
    if isinstance(value, str):
        return value.translate(_DIRECTIONS)
    if isinstance(value, list):
        return [_directions_shown(item) for item in value]
    if isinstance(value, dict):
        return {key: _directions_shown(item) for key, item in value.items()}
    return value


def _outputs(cell: dict) -> list[dict]:
    return [output["data"][MIME] for output in cell["outputs"] if MIME in output.get("data", {})]
