"""One drawing, three forms: matplotlib draws the SVG, from which typst makes PDF and PNG.

That takes a tenth of the time of drawing again for each. In the SVG letters are outlines, so that it
looks the same everywhere; in the PDF they are text in embedded TrueType fonts.
"""

import re
import struct
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from immunotrace.figures import style
from immunotrace.figures.fonts import FAMILY, font_folder

# Text as matplotlib writes it: the words in a comment, then their outlines, from the left of the base line.
_OUTLINED = re.compile(
    r'<!-- ((?:(?!-->).)*) -->\s*<g( style="[^"]*")? transform="([^"]*) scale\(([\d.]+) -[\d.]+\)">'
    r"(.*?)</g>",
    re.DOTALL,
)
_OUTLINE = re.compile(r'(?<= d=")M [^"]*')
_FINE = re.compile(r"-?\d+\.\d{3,}")
_DEFINITIONS = re.compile(r"<defs>.*?</defs>", re.DOTALL)


def save_figure(figure: Figure, stem: str | Path, simulated: bool) -> None:
    """Write `stem`.svg, .pdf and .png of one figure, the same bytes each time.

    A figure of simulated data is stamped.
    """
    stem = Path(stem)
    svg = stem.with_name(f"{stem.name}.svg")
    write_svg(figure, svg, simulated)
    stem.with_name(f"{stem.name}.pdf").write_bytes(typeset([svg], "pdf"))
    stem.with_name(f"{stem.name}.png").write_bytes(_with_size(typeset([svg], "png")))


def write_svg(figure: Figure, path: str | Path, simulated: bool) -> None:
    """Write one figure as SVG, without date and random identifiers; stamp one of simulated data."""
    if simulated:
        style.stamp(figure)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with style.styled():
        figure.savefig(path, metadata={"Date": None, "Creator": "immunotrace"})
    drawn = Path(path).read_text(encoding="utf-8")
    Path(path).write_text(_OUTLINE.sub(_rounded, drawn), encoding="utf-8")


def _rounded(outline: re.Match) -> str:
    """An outline to a hundredth of a point, where matplotlib writes a millionth: two thirds of the bytes."""
    return _FINE.sub(lambda number: f"{float(number[0]):.2f}", outline[0])


def typeset(pages: Sequence[str | Path], form: str) -> bytes:
    """One `form` (pdf, png) of SVG files that `write_svg` wrote, a page each, with letters as text."""
    import typst

    with tempfile.TemporaryDirectory() as folder:
        for number, page in enumerate(pages):
            drawn = Path(page).read_text(encoding="utf-8")
            Path(folder, f"{number}.svg").write_text(_lettered(drawn), encoding="utf-8")
        return typst.compile(
            b"#set document(date: none)\n#set page(width: auto, height: auto, margin: 0pt)\n"
            + b"".join(b'#page(image("%d.svg"))\n' % number for number in range(len(pages))),
            root=folder,
            font_paths=[str(font_folder())],
            ignore_system_fonts=True,
            format=form,
            ppi=float(style.DPI),
            timestamp=0,
        )


def _lettered(svg: str) -> str:
    """The drawing with text in place of outlines, each line where its outlines begin."""
    return _OUTLINED.sub(_letters, svg)


def _letters(outlined: re.Match) -> str:
    text, look, place, scale, outlines = outlined.groups()
    # A comment cannot have "--" in it, so this may stand for that: the outlines know.
    if "- -" in text:
        return outlined[0]
    weight = "bold" if f"{FAMILY.replace(' ', '')}-Bold" in outlines else "normal"
    # Later outlines that stay may use what is defined here.
    return (
        f'{"".join(_DEFINITIONS.findall(outlines))}<text xml:space="preserve"{look or ""} '
        f'transform="{place}" font-family="{FAMILY}" font-weight="{weight}" '
        f'font-size="{100 * float(scale):g}">{text}</text>'
    )


def _with_size(png: bytes) -> bytes:
    """A PNG that says how large it is in print."""
    dots = round(style.DPI / 0.0254)  # a metre
    chunk = b"pHYs" + struct.pack(">IIB", dots, dots, 1)
    chunk = struct.pack(">I", 9) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:33] + chunk + png[33:]  # behind the signature and the header
