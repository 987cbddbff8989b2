"""Markdown cells as a small tree, from which HTML and PDF are both written.

Nodes: {"kind": "heading", level, inline}, {"kind": "paragraph", inline}, {"kind": "list", ordered,
items: [nodes]}, {"kind": "code", text}. Inline: {"kind": "text" | "code", text}, {"kind": "strong" |
"emphasis", inline}, {"kind": "break"}. Raw HTML is text, a link is its words, for the report has no
address outside itself.
"""

from markdown_it import MarkdownIt
from markdown_it.token import Token


def parse(source: str) -> list[dict]:
    """The nodes of a Markdown text (CommonMark without HTML and images)."""
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    return _blocks(iter(parser.parse(source)), until=None)


def plain(inline: list[dict]) -> str:
    """The words of inline nodes without their marks."""
    return "".join(
        " " if node["kind"] == "break" else node.get("text") or plain(node.get("inline", []))
        for node in inline
    )


def _blocks(tokens, until: str | None) -> list[dict]:
    nodes: list[dict] = []
    for token in tokens:
        if token.type == until:
            return nodes
        if token.type == "heading_open":
            nodes.append(
                {"kind": "heading", "level": int(token.tag[1]), "inline": _inline(next(tokens))}
            )
        elif token.type == "paragraph_open":
            nodes.append({"kind": "paragraph", "inline": _inline(next(tokens))})
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            nodes.append(
                {
                    "kind": "list",
                    "ordered": token.type == "ordered_list_open",
                    "items": _items(tokens, token.type.replace("open", "close")),
                }
            )
        elif token.type == "blockquote_open":
            nodes += _blocks(tokens, "blockquote_close")
        elif token.type in ("fence", "code_block"):
            nodes.append({"kind": "code", "text": token.content.rstrip("\n")})
    return nodes


def _items(tokens, until: str) -> list[list[dict]]:
    items = []
    for token in tokens:
        if token.type == until:
            break
        if token.type == "list_item_open":
            items.append(_blocks(tokens, "list_item_close"))
    return items


_MARKS = {"strong_open": "strong", "em_open": "emphasis"}


def _inline(token: Token) -> list[dict]:
    return _spans(iter(token.children or []), None)


def _spans(tokens, until: str | None) -> list[dict]:
    nodes: list[dict] = []
    for token in tokens:
        if token.type == until:
            return nodes
        if token.type == "text":
            nodes.append({"kind": "text", "text": token.content})
        elif token.type == "code_inline":
            nodes.append({"kind": "code", "text": token.content})
        elif token.type == "softbreak":
            nodes.append({"kind": "text", "text": " "})
        elif token.type == "hardbreak":
            nodes.append({"kind": "break"})
        elif token.type in _MARKS:
            inner = _spans(tokens, token.type.replace("open", "close"))
            nodes.append({"kind": _MARKS[token.type], "inline": inner})
        elif token.type == "link_open":
            nodes += _spans(tokens, "link_close")
    return nodes
