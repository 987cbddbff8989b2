"""The fonts that figures and the PDF are set in: those that matplotlib brings along."""

from functools import cache
from pathlib import Path

FAMILY = "DejaVu Sans"
# Keeps the brackets round a code point beside text that runs from right to left.
_LEFT_TO_RIGHT = "\u200e"


def font_folder() -> Path:
    """The folder of matplotlib's own TrueType fonts."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@cache
def _covered() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_folder() / "DejaVuSans.ttf")).get_charmap())


def printable(text: str) -> str:
    """`text` with each character that the font lacks written as its code point, `[U+1F9EC]`.

    So that no text from a file is lost or turns into an empty box. Control characters, which no font
    draws, are shown the same way.
    """
    covered = _covered()
    return "".join(
        character
        if ord(character) in covered or character == "\n"
        else f"{_LEFT_TO_RIGHT}[U+{ord(character):04X}]{_LEFT_TO_RIGHT}"
        for character in text
    )
