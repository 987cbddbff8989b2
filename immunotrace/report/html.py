"""The document as one HTML file that needs nothing from outside itself."""

import base64
import gzip
import hashlib
from html import escape
from pathlib import Path

_TEMPLATES = Path(__file__).parent / "templates"
_CODE = Path(__file__).parents[2]
_LARGEST_PLAIN = (
    150_000  # bytes of a file that the report carries as it is; larger ones are gzipped
)

_VERDICT_CLASSES = {
    "supported": "good",
    "pass": "good",
    "determined": "good",
    "contradicted": "bad",
    "fail": "bad",
    "warn": "fair",
    "inconclusive": "fair",
    "not supported": "fair",
    "censored": "fair",
    "not determined": "fair",
    "not evaluable": "fair",
}
_VERDICT_COLUMNS = {"Verdict", "Call"}


def render_html(document: dict, results: str | Path) -> str:
    """The report as HTML: style, script and figures inside, texts escaped.

    `document` is what `immunotrace.report.document.read_document` returns; figures are read from
    `results`/figures.
    """
    style = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    # Only this very script may run, and nothing may be loaded.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escape(document["title"])
    body = [_chapter(chapter, Path(results)) for chapter in document["chapters"]]
    banner = ""
    if document["simulated"]:
        scenario = f", scenario “{escape(document['scenario'])}”" if document["scenario"] else ""
        banner = (
            '<aside class="banner"><strong>Simulated data.</strong> Every number in this report '
            f"comes from simulated files{scenario}; none is a patient's.</aside>"
        )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="immunotrace">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
{banner}
<div class="page">
{_contents(document)}
<main id="content">
<header><h1 dir="auto">{title}</h1></header>
{"".join(body)}
</main>
</div>
<dialog id="enlarged" aria-label="Enlarged figure"><button type="button">Close</button><div></div></dialog>
<script>{script}</script>
</body>
</html>
"""


def _contents(document: dict) -> str:
    entries = []
    for chapter in document["chapters"]:
        sections = [block for block in chapter["blocks"] if block["kind"] == "section"]
        inner = "".join(
            f'<li><a href="#{block["id"]}" dir="auto">{escape(block["text"])}</a></li>'
            for block in sections
        )
        entries.append(
            f'<li><a href="#{chapter["id"]}">{escape(chapter["title"])}</a>'
            + (f"<ol>{inner}</ol>" if inner else "")
            + "</li>"
        )
    return (
        '<nav aria-label="Contents"><details open><summary>Contents</summary>'
        f"<ol>{''.join(entries)}</ol></details></nav>"
    )


def _chapter(chapter: dict, results: Path) -> str:
    blocks = "\n".join(_block(block, chapter, results) for block in chapter["blocks"])
    return (
        f'<section aria-labelledby="{chapter["id"]}">\n<h2 id="{chapter["id"]}">'
        f"{escape(chapter['title'])}</h2>\n{blocks}\n</section>\n"
    )


def _block(block: dict, chapter: dict, results: Path) -> str:
    kind = block["kind"]
    if kind == "section":
        return f'<h3 id="{block["id"]}" dir="auto">{escape(block["text"])}</h3>'
    if kind == "prose":
        return "".join(f'<p dir="auto">{escape(text)}</p>' for text in block["paragraphs"])
    if kind == "bullets":
        items = "".join(f'<li dir="auto">{escape(item)}</li>' for item in block["items"])
        return f"<ul>{items}</ul>"
    if kind == "note":
        return f'<p class="note {escape(block["tone"])}" role="note" dir="auto">{escape(block["text"])}</p>'
    if kind == "claims":
        return _claims(block)
    if kind == "figure":
        return _figure(block, chapter, results)
    if kind == "pair":
        return _pair(block)
    if kind == "table":
        return _table(block, results)
    return _markdown(block)


def _claims(block: dict) -> str:
    items = []
    for item in block["items"]:
        items.append(
            f'<li class="claim"><p class="claim-head"><span class="claim-id">{escape(item["claim"])}</span> '
            f'<strong dir="auto">{escape(item["title"])}</strong> {_badge(item["verdict"])}</p>'
            f'<p class="statement" dir="auto">{escape(item["statement"])}</p>'
            f'<p dir="auto">{escape(item["sentence"])}</p></li>'
        )
    return f'<ul class="claims">{"".join(items)}</ul>'


def _badge(verdict: str) -> str:
    words = verdict.replace("_", " ")
    return f'<span class="badge {_VERDICT_CLASSES.get(words, "plain")}">{escape(words)}</span>'


def _figure(block: dict, chapter: dict, results: Path) -> str:
    name = block["name"]
    image = base64.b64encode((results / "figures" / f"{name}.svg").read_bytes()).decode("ascii")
    label = f"Figure {block['number']}"
    return f"""<figure id="figure-{block["number"]}">
<button type="button" class="enlarge" aria-label="Enlarge {label}">\
<img src="data:image/svg+xml;base64,{image}" alt="{escape(block["alt"])}"></button>
<figcaption dir="auto"><strong>{label}.</strong> {escape(block["caption"])}
{_sources(name, chapter, results / "figures" / f"{name}.tsv")}</figcaption>
</figure>"""


def _pair(block: dict) -> str:
    title = escape(block["title"])
    sides = "".join(
        f'<div><p>{side}</p><img src="data:image/png;base64,{image}" alt="The figure {title}, {time}"></div>'
        if image
        else f"<div><p>{side}</p><p>No picture is kept of it.</p></div>"
        for side, image, time in (
            ("Before", block["old"], "as it was before"),
            ("Now", block["new"], "as it is now"),
        )
    )
    return f'<figure class="pair"><div>{sides}</div><figcaption dir="auto">{title}</figcaption></figure>'


def _sources(name: str, chapter: dict, data: Path) -> str:
    """Where a figure comes from: its data, the script that draws it and the notebook that tells it."""
    notebook = Path("notebooks") / f"{chapter['name']}.ipynb"
    script = Path("scripts/draw_figures.py")
    return (
        f'<span class="sources">Data: {_carried(data, f"figures/{name}.tsv")} · drawn by '
        f"{_carried(_CODE / script, str(script))} · told in "
        f"{_carried(_CODE / notebook, str(notebook))}</span>"
    )


def _carried(path: Path, shown: str) -> str:
    """A link that saves a file, which the report carries inside; its name where there is no file."""
    label = f"<code>{escape(shown)}</code>"
    if not path.is_file():
        return label
    content, name, kind = path.read_bytes(), path.name, "text/plain"
    if len(content) > _LARGEST_PLAIN:
        content, name, kind = gzip.compress(content, mtime=0), f"{name}.gz", "application/gzip"
    packed = base64.b64encode(content).decode("ascii")
    return f'<a download="{escape(name)}" href="data:{kind};base64,{packed}">{label}</a>'


def _table(block: dict, results: Path) -> str:
    columns = block["columns"]
    long = len(block["rows"]) > 12
    head = "".join(
        f'<th scope="col" class="{column["align"]}"><button type="button" dir="auto">'
        f"{escape(column['label'])}</button></th>"
        for column in columns
    )
    rows = []
    for number, cells in enumerate(block["rows"]):
        shown = []
        for column, keys, text in zip(columns, block["sort"], cells, strict=True):
            verdict = column["label"] in _VERDICT_COLUMNS
            inner = _badge(text) if verdict and text not in ("", "–") else escape(text)
            key = f' data-key="{keys[number]!r}"' if keys and keys[number] is not None else ""
            shown.append(f'<td class="{column["align"]}" dir="auto"{key}>{inner}</td>')
        rows.append(f"<tr>{''.join(shown)}</tr>")
    label = f"Table {block['number']}"
    source = (
        f'<span class="sources">All columns: {_carried(results / block["source"], block["source"])}</span>'
        if block.get("source")
        else ""
    )
    search = (
        f'<p class="filter"><label>Filter {label}: <input type="search" autocomplete="off"></label> '
        '<span aria-live="polite"></span></p>'
        if long
        else ""
    )
    return f"""<div class="table" id="table-{block["number"]}">
<p class="caption" id="caption-{block["number"]}" dir="auto"><strong>{label}.</strong> {escape(block["caption"])} {source}</p>
{search}<div class="scroll{" long" if long else ""}" tabindex="0" role="region" aria-labelledby="caption-{block["number"]}">
<table aria-labelledby="caption-{block["number"]}"><thead><tr>{head}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div></div>"""


def _markdown(node: dict) -> str:
    if node["kind"] == "paragraph":
        return f"<p>{_inline(node['inline'])}</p>"
    if node["kind"] == "code":
        return f"<pre><code>{escape(node['text'])}</code></pre>"
    if node["kind"] == "list":
        tag = "ol" if node["ordered"] else "ul"
        items = "".join(
            f"<li>{''.join(_markdown(inner) for inner in item)}</li>" for item in node["items"]
        )
        return f"<{tag}>{items}</{tag}>"
    raise ValueError(f"no block of the kind {node['kind']!r}")


def _inline(nodes: list[dict]) -> str:
    tags = {"strong": "strong", "emphasis": "em"}
    parts = []
    for node in nodes:
        if node["kind"] == "text":
            parts.append(escape(node["text"]))
        elif node["kind"] == "code":
            parts.append(f"<code>{escape(node['text'])}</code>")
        elif node["kind"] == "break":
            parts.append("<br>")
        else:
            tag = tags[node["kind"]]
            parts.append(f"<{tag}>{_inline(node['inline'])}</{tag}>")
    return "".join(parts)
