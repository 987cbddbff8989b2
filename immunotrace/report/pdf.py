"""The document as a paginated PDF, typeset by typst.

The template reads the document as JSON, and a string from JSON is text to typst, never markup: there
is nothing to escape. No date is written and only the fonts are used that typst and matplotlib bring
along, so the same document gives the same bytes on every machine.
"""

import json
import shutil
import tempfile
from pathlib import Path

from immunotrace.figures.fonts import font_folder, printable

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
        for chapter in document["chapters"]:
            for block in chapter["blocks"]:
                if block["kind"] == "figure":
                    name = f"{block['name']}.pdf"
                    shutil.copy(
                        Path(results) / "figures" / name, root / f"figure-{block['number']}.pdf"
                    )
        content = json.dumps(_printable(document), ensure_ascii=False)
        (root / "report.json").write_text(content, encoding="utf-8")
        return typst.compile(
            str(root / "report.typ"),
            root=str(root),
            font_paths=fonts,
            ignore_system_fonts=True,
            timestamp=0,
        )


def _printable(value):
    """The document with every character that the fonts lack written as its code point."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    return value
