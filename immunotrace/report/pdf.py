"""The document as a paginated PDF, typeset by typst.

The template reads the document as JSON, and a string from JSON is text to typst, never markup: there
is nothing to escape. No date is written and only the fonts are used that typst and matplotlib bring
along, so the same document gives the same bytes on every machine.
"""

import base64
import json
import shutil
import tempfile
from pathlib import Path

from immunotrace.figures.fonts import font_folder, printable
from immunotrace.report.document import each_text

_TEMPLATE = Path(__file__).parent / "templates" / "report.typ"


def render_pdf(document: dict, results: str | Path) -> bytes:
    """The report as PDF; figures are read from `results`/figures."""
    import typst

    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=True, font_paths=[str(font_folder())]
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy(_TEMPLATE, root / "report.typ")
        blocks = [block for chapter in document["chapters"] for block in chapter["blocks"]]
        for block in blocks:
            if block["kind"] == "figure":
                drawn = Path(results) / "figures" / f"{block['name']}.pdf"
                shutil.copy(drawn, root / f"figure-{block['number']}.pdf")
        for number, block in enumerate(block for block in blocks if block["kind"] == "pair"):
            for side in ("old", "new"):
                if block[side]:
                    picture = root / f"pair-{number}-{side}.png"
                    picture.write_bytes(base64.b64decode(block[side]))
        content = json.dumps(each_text(_without_pictures(document), printable), ensure_ascii=False)
        (root / "report.json").write_text(content, encoding="utf-8")
        return typst.compile(
            str(root / "report.typ"),
            root=str(root),
            font_paths=fonts,
            ignore_system_fonts=True,
            timestamp=0,
        )


def _without_pictures(document: dict) -> dict:
    """The document with the names of files in place of the pictures of its pairs."""
    chapters, number = [], 0
    for chapter in document["chapters"]:
        blocks = []
        for block in chapter["blocks"]:
            if block["kind"] == "pair":
                names = {s: block[s] and f"pair-{number}-{s}.png" for s in ("old", "new")}
                block, number = block | names, number + 1
            blocks.append(block)
        chapters.append(chapter | {"blocks": blocks})
    return document | {"chapters": chapters}
