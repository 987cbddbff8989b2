"""Readers of the text exports of counters and plate readers, one a maker's program.

Each takes the path, for messages, and the lines of the file, and returns every grid of readings by
name. Layouts of plates in the same file are not readings.
"""

import re

from immunotrace.errors import InputError
from immunotrace.plates.grids import Grid, add_reading, headings, read_grid, split, well_name
from immunotrace.privacy import told

_ROWS, _COLUMNS = "ABCDEFGH", 12


def beckman_ls(path, lines) -> list[Grid]:
    """Beckman liquid scintillation list: a line a vial with `Sam`, `CPM Iso1`, `DPM Iso1`, ...

    Vials count along the rows of the plate: Sam 1 is A1, 12 is A12, 13 is B1.
    """
    names = split(lines[0], ",") if lines else []
    quantities = [name for name in names if re.fullmatch(r"(CPM|DPM) .*", name)]
    if "Sam" not in names or not quantities:
        raise InputError(
            f"{path} line 1: expected the columns Sam and CPM or DPM of a scintillation list (format "
            f"beckman_ls); found {len(names)} others."
        )
    grids = [Grid(name, 1) for name in quantities]
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = split(line, ",")
        if len(cells) != len(names):
            raise InputError(
                f"{path} line {number}: {len(cells)} cells; the heading has {len(names)}."
            )
        sample = re.fullmatch(r"([0-9]{1,4})(\.0)?", cells[names.index("Sam")])
        if not sample or not 1 <= int(sample[1]) <= len(_ROWS) * _COLUMNS:
            raise InputError(
                f"{path} line {number}: sample {told(cells[names.index('Sam')])}; expected a number from 1 "
                "to 96, the place of the vial along the rows of the plate."
            )
        row, column = divmod(int(sample[1]) - 1, _COLUMNS)
        for grid in grids:
            well = f"{_ROWS[row]}{column + 1}"
            add_reading(path, grid, well, cells[names.index(grid.name)], number)
    return grids


def bmg_mars(path, lines) -> list[Grid]:
    """BMG Labtech MARS: `User: ...`, then grids named by the line of text above, `Raw Data (450)`."""
    _expect(path, lines, r"User:", "bmg_mars")
    grids = []
    for index, columns in headings(lines, ","):
        above = [line.strip(', "') for line in lines[:index]]
        name = next((line for line in reversed(above) if line), f"grid {len(grids) + 1}")
        rows = [line.rstrip(",") for line in lines]
        grids.append(read_grid(path, rows, index, columns, ",", name, gaps=True))
    return grids


def envision(path, lines) -> list[Grid]:
    """PerkinElmer EnVision: repeated blocks; a grid is named `plate 1: Results for ...`."""
    _expect(path, lines, r"Plate information", "envision")
    grids, plate = [], ""
    for index, columns in headings(lines, ","):
        title = lines[index - 1].strip(', "')
        if not re.match(r"(Results|Calculated results)", title):
            continue  # the map of the plate
        for above in range(index - 1, 0, -1):
            if lines[above - 1].startswith("Plate,") and lines[above - 2].startswith("Plate info"):
                plate = split(lines[above], ",")[0]
                break
        rows = [line.rstrip(",") for line in lines]
        grid = read_grid(path, rows, index, columns, ",", f"plate {plate}: {title}", gaps=True)
        grids.append(grid)
    return grids


def kaleido(path, lines) -> list[Grid]:
    """PerkinElmer EnSight (Kaleido): a grid below each `Result for ...`, which names it."""
    _expect(path, lines, r"EnSight Results from", "kaleido")
    grids, title = [], None
    starts = dict(headings(lines, ","))
    for index, line in enumerate(lines):
        if line.startswith("Result for "):
            title = line.strip(', "')
        elif index in starts and title:
            rows = [text.rstrip(",") for text in lines]
            grids.append(read_grid(path, rows, index, starts[index], ",", title, gaps=True))
            title = None
    return grids


def gen5(path, lines) -> list[Grid]:
    """BioTek Gen5: grids with several lines a row, each line with the label of its read at the end.

    A grid is one label (`LUM:Lum`) over all rows; a block without labels is named by the line above.
    """
    start = next((line for line in lines if line.strip()), "")
    if not start.startswith("Software Version"):
        raise InputError(
            f"{path} line 1: {told(start)}; expected the text export of Gen5, which begins with Software "
            "Version (format gen5)."
        )
    grids: dict[str, Grid] = {}
    for index, columns in headings(lines, "\t"):
        title = lines[index - 1].strip()
        if title == "Layout":
            continue
        row = ""
        for number, line in enumerate(lines[index + 1 :], start=index + 2):
            label, *cells = split(line, "\t")
            row = label or row
            if not re.fullmatch("[A-P]", row) or len(cells) < columns:
                break
            name = cells[columns] if len(cells) > columns and cells[columns] else title
            grid = grids.setdefault(name, Grid(name, index + 1))
            for column in range(columns):
                add_reading(path, grid, f"{row}{column + 1}", cells[column], number)
    return list(grids.values())


def hidex(path, lines) -> list[Grid]:
    """Hidex 300 SL: a block of `key;value` lines a vial and repeat, with the well in `WName`.

    Grids are CPM, DPM and Counts; with several repeats of a vial each repeat is a grid of its own.
    """
    if not any(line.strip() == "Sample start" for line in lines):
        raise InputError(
            f"{path} line 1: no line 'Sample start'; expected the list of a Hidex counter (format hidex)."
        )
    blocks: list[dict[str, tuple[str, int]]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() == "Sample start":
            blocks.append({"start": ("", number)})
        elif blocks and ";" in line:
            key, value = line.split(";", 1)
            blocks[-1][key.strip()] = value.strip(), number
    repeated = any(block.get("Repe.", ("1", 0))[0] != "1" for block in blocks)
    grids: dict[str, Grid] = {}
    for block in blocks:
        first = block["start"][1]
        well = well_name(block.get("WName", ("", 0))[0])
        if well is None:
            raise InputError(
                f"{path} line {first}: no well in the block that begins here; expected a line such as "
                "'WName;A01'."
            )
        if repeated and "Repe." not in block:
            raise InputError(
                f"{path} line {first}: no line 'Repe.' in the block that begins here; expected the number of "
                "the repeat, for other blocks have one."
            )
        for quantity in ("CPM", "DPM", "Counts"):
            if quantity in block:
                text, line = block[quantity]
                name = f"{quantity} repeat {block['Repe.'][0]}" if repeated else quantity
                add_reading(path, grids.setdefault(name, Grid(name, first)), well, text, line)
    return list(grids.values())


def softmax(path, lines) -> list[Grid]:
    """Molecular Devices SoftMax Pro: `##BLOCKS=`, then a block a plate, named as the plate.

    Of a block the raw readings of an endpoint in time format are read: wells in a line, their values
    in the next.
    """
    _expect(path, lines, r"##BLOCKS=", "softmax")
    grids = []
    for index, line in enumerate(lines):
        cells = split(line, "\t")
        if cells[0] != "Plate:":
            continue
        if cells[3:5] != ["TimeFormat", "Endpoint"]:
            raise InputError(
                f"{path} line {index + 1}: plate {told(''.join(cells[1:2]))} is {told(' '.join(cells[3:5]))}; expected an "
                "endpoint in TimeFormat. Export it again in that form."
            )
        names, values = (split(text, "\t") for text in (*lines[index + 1 : index + 3], "", "")[:2])
        grid = Grid(cells[1], index + 1)
        for column, name in enumerate(names):
            well = well_name(name)
            if well is not None:
                text = values[column] if column < len(values) else ""
                add_reading(path, grid, well, text, index + 3)
        grids.append(grid)
    return grids


def _expect(path, lines, start, format) -> None:
    first = lines[0].strip() if lines else ""
    if not re.match(start, first.lstrip('"')):
        raise InputError(f"{path} line 1: {told(first)}; expected {start!r} (format {format}).")
