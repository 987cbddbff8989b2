"""Saving: PDF and PNG are the drawing of the SVG, letters stay letters, dots are where matplotlib has them."""

import re
import shutil
import struct
import subprocess

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from immunotrace.figures import saving, style

ODD = "<b> & “quotes” a--b $x$ − CD45RA⁺"


@pytest.fixture
def figure():
    """A page with a grey square, and texts upright, bold, turned and in two lines."""
    with style.styled():
        figure = Figure(figsize=(4, 2))
        FigureCanvasAgg(figure)
        axis = figure.add_axes((0, 0, 0.5, 1))
        axis.axis("off")
        axis.fill([0, 1, 1, 0], [0, 0, 1, 1], color="0.5")
        axis.set(xlim=(0, 1), ylim=(0, 1))
        figure.text(0.55, 0.8, ODD)
        figure.text(0.55, 0.5, "bold words", fontweight="bold")
        figure.text(0.95, 0.1, "turned", rotation=90)
        figure.text(0.55, 0.2, "two\nlines")
    return figure


def test_letters_of_the_pdf_are_text(figure, tmp_path):
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext (Debian: poppler-utils) to read the PDF with")
    saving.save_figure(figure, tmp_path / "a.b", simulated=True)
    pdf = tmp_path / "a.b.pdf"
    done = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, check=True)
    text = done.stdout.decode("utf-8")
    # What has "--" in it keeps its outlines, for the drawing does not tell it from "- -".
    for words in ("bold words", "turned", "two", "lines", "SIMULATED DATA"):
        assert words in text
    assert "a-" not in text


def test_an_odd_text_without_two_hyphens_is_text_as_it_was(tmp_path):
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext (Debian: poppler-utils) to read the PDF with")
    with style.styled():
        figure = Figure(figsize=(4, 1))
        figure.text(0.1, 0.5, ODD.replace("--", "-"))
        saving.save_figure(figure, tmp_path / "a", simulated=False)
    done = subprocess.run(
        ["pdftotext", str(tmp_path / "a.pdf"), "-"], capture_output=True, check=True
    )
    assert done.stdout.decode("utf-8").strip() == ODD.replace("--", "-")


def test_the_picture_is_that_of_matplotlib(figure, tmp_path):
    saving.save_figure(figure, tmp_path / "a", simulated=False)
    figure.savefig(tmp_path / "m.png", dpi=style.DPI)
    made, expected = (matplotlib.image.imread(tmp_path / f"{n}.png")[..., :3] for n in "am")
    assert made.shape == expected.shape
    left = np.s_[2:-2, 2 : made.shape[1] // 2 - 2]
    assert np.abs(made[left] - expected[left]).max() < 0.005  # one step of 256
    # Letters differ at their edges only: both print the same ink, in the same place.
    ink, inked = 1 - made.mean(axis=2), 1 - expected.mean(axis=2)
    assert ink.sum() == pytest.approx(inked.sum(), rel=0.02)
    for axis in (0, 1):
        places = np.arange(ink.shape[1 - axis])
        centre, expected_centre = (
            np.average(places, weights=part.sum(axis=axis)) for part in (ink, inked)
        )
        assert centre == pytest.approx(expected_centre, abs=1)  # pixel


def test_a_png_says_how_large_it_is_in_print(figure, tmp_path):
    saving.save_figure(figure, tmp_path / "a", simulated=False)
    png = (tmp_path / "a.png").read_bytes()
    place = png.index(b"pHYs") + 4
    across, down, metres = struct.unpack(">IIB", png[place : place + 9])
    assert (across, metres) == (down, 1)
    assert across * 0.0254 == pytest.approx(style.DPI, abs=0.05)


def test_dots_are_those_of_matplotlib(monkeypatch):
    monkeypatch.setattr(style, "DPI", 250)
    rng = np.random.default_rng(7)
    x, y = rng.normal(0, 0.5, (2, 400))  # some beyond the limits, many on each other
    shades = []
    for drawn in ("ours", "matplotlib"):
        figure = Figure(figsize=(1, 1), dpi=style.DPI)
        canvas = FigureCanvasAgg(figure)
        axis = figure.add_axes((0, 0, 1, 1))
        axis.axis("off")
        axis.set(xlim=(-1, 1), ylim=(-1, 1))
        if drawn == "ours":
            style.dots(axis, x, y, "#0b4f8a", 0.95, alpha=0.55)
        else:
            axis.scatter(x, y, s=0.95**2, color="#0b4f8a", alpha=0.55, linewidth=0)
        canvas.draw()
        shades.append(255 - np.asarray(canvas.buffer_rgba())[..., 0].astype(float))
    ours, theirs = shades
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.03)
    # Matplotlib moves a marker by up to half a pixel to the grid, so compare cells of ten.
    cells = [shade.reshape(25, 10, 25, 10).mean(axis=(1, 3)).ravel() for shade in shades]
    assert np.corrcoef(*cells)[0, 1] > 0.97


def test_no_outline_is_finer_than_a_hundredth_of_a_point(figure, tmp_path):
    figure.axes[0].plot([1 / 3, 2 / 7], [1 / 7, 1 / 9])
    saving.write_svg(figure, tmp_path / "drawn.svg", simulated=False)
    drawn = (tmp_path / "drawn.svg").read_text()
    outlines = re.findall(r' d="(M [^"]*)"', drawn)
    assert any("." in outline for outline in outlines)
    assert not re.search(r"\.\d{3}", "".join(outlines))
