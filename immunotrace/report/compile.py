"""Compile executed chapters into the report's two files."""

import json
from collections.abc import Sequence
from pathlib import Path

from immunotrace.report.document import read_document
from immunotrace.report.html import render_html
from immunotrace.report.pdf import render_pdf


def compile_report(
    chapters: Sequence[str | Path],
    case: str | Path,
    results: str | Path,
    html: str | Path,
    pdf: str | Path,
) -> None:
    """Write `html` and `pdf` from the notebooks `chapters`, in their order.

    `case` is the JSON file that describes the case, `results` the folder whose figures the chapters
    show. Both files have the same content.
    """
    description = json.loads(Path(case).read_text(encoding="utf-8"))
    document = read_document(chapters, description)
    Path(html).write_text(render_html(document, results), encoding="utf-8")
    Path(pdf).write_bytes(render_pdf(document, results))
