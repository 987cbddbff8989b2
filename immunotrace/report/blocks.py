"""What a chapter's notebook shows: prose, figures, tables, notes and verdicts.

Each call displays one block twice over: as JSON, from which the report is compiled, and as HTML or
an image for whoever reads the notebook itself. Texts are plain: markup in them stays text.
"""

import base64
import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import publish_display_data

from immunotrace.report.wording import is_missing

MIME = "application/vnd.immunotrace.block+json"

Format = Callable[[Any], str]


def prose(*paragraphs: str) -> None:
    """Paragraphs of plain text; empty ones are left out."""
    texts = [text for text in paragraphs if text]
    if texts:
        _show(
            {"kind": "prose", "paragraphs": texts},
            "".join(f"<p>{html.escape(text)}</p>" for text in texts),
        )


def heading(text: str) -> None:
    """A section's heading where whether there is such a section depends on the data."""
    _show({"kind": "heading", "text": text}, f"<h2>{html.escape(text)}</h2>")


def bullets(items: list[str]) -> None:
    if items:
        _show(
            {"kind": "bullets", "items": items},
            "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>",
        )


def note(text: str, tone: str = "info") -> None:
    """A remark set apart; `tone` is info, warning, alert or simulated."""
    _show(
        {"kind": "note", "text": text, "tone": tone},
        f"<blockquote>{html.escape(text)}</blockquote>",
    )


def figure(results: str | Path, name: str, caption: str, alt: str) -> None:
    """The figure `name`, which the figure scripts have drawn from the same tables.

    A figure whose data (the TSV beside it) have no row is left out: there is nothing to see in it.
    """
    folder = Path(results) / "figures"
    with open(folder / f"{name}.tsv", encoding="utf-8") as data:
        if len(data.read(1)) == 0 or data.readline() == "" or data.readline() == "":
            return
    image = base64.b64encode((folder / f"{name}.png").read_bytes()).decode("ascii")
    bundle = {"image/png": image, "text/plain": caption}
    publish_display_data(
        {MIME: {"kind": "figure", "name": name, "caption": caption, "alt": alt}, **bundle}
    )


def table(
    frame: pd.DataFrame,
    caption: str,
    columns: Mapping[str, str],
    formats: Mapping[str, Format] | None = None,
    source: str | None = None,
) -> None:
    """A table of the `columns` (name -> heading) of `frame`, cells as text.

    `formats` turn a cell into text; without one, text stays as it is and a missing cell is a dash.
    Numeric columns are set to the right and sort by value. `source` names the file of the whole table.
    A table without rows is left out.
    """
    if frame.empty:
        return
    formats = formats or {}
    rows, keys, alignment = [], [], []
    for name in columns:
        numeric = pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool
        numeric = numeric and frame[name].notna().any()
        alignment.append("right" if numeric else "left")
        make = formats.get(name, _plain)
        rows.append([make(value) for value in frame[name]])
        keys.append([None if is_missing(v) else float(v) for v in frame[name]] if numeric else None)
    block = {
        "kind": "table",
        "caption": caption,
        "columns": [
            {"name": name, "label": label, "align": align}
            for (name, label), align in zip(columns.items(), alignment, strict=True)
        ],
        "rows": [list(cells) for cells in zip(*rows, strict=True)],
        "sort": keys,
        "source": source,
    }
    head = "".join(f"<th>{html.escape(label)}</th>" for label in columns.values())
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        for cells in block["rows"]
    )
    _show(
        block,
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>",
    )


def claims(frame: pd.DataFrame) -> None:
    """The claims, each with its statement, verdict and the sentence that gives the reason."""
    items = [
        {key: _plain(row[key]) for key in ("claim", "title", "statement", "verdict", "sentence")}
        for row in frame.to_dict("records")
    ]
    shown = "".join(
        "<li><b>{claim} {title}: {verdict}</b><br>{statement}<br>{sentence}</li>".format(
            **{key: html.escape(value) for key, value in item.items()}
        )
        for item in items
    )
    _show({"kind": "claims", "items": items}, f"<ul>{shown}</ul>")


def pair(title: str, old: str | None, new: str) -> None:
    """A figure as it was and as it is, side by side: PNG in base64; `old` is None where there was none."""
    sides = "".join(
        f'<img src="data:image/png;base64,{image}" alt="{html.escape(title)}, {side}" width="48%">'
        for side, image in (("before", old), ("now", new))
        if image
    )
    _show(
        {"kind": "pair", "title": title, "old": old, "new": new},
        f"<figure>{sides}<figcaption>{html.escape(title)}: before and now</figcaption></figure>",
    )


def _plain(value: Any) -> str:
    return "–" if is_missing(value) else str(value)


def _show(block: dict, page: str) -> None:
    publish_display_data({MIME: block, "text/html": page, "text/plain": block["kind"]})
