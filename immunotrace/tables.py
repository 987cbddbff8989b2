"""The one way in which tables go to disk and come back: TSV, tidy, empty fields for missing values."""

from pathlib import Path

import pandas as pd

# Names and codes stay text: a subject "007" is no number.
TEXT_COLUMNS = (
    *("acquisition", "subject", "role", "panel", "staining", "batch", "plate", "well", "curve"),
    *("population", "parent", "marker", "drug", "claim", "reference", "name", "flag", "reason"),
)

# A cell that starts with one of these is run as a formula by spreadsheet programs.
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and full-width
_PASSED_OVER = " \u00a0\ufeff"  # before a formula


def write_tsv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as UTF-8 TSV, numbers in their shortest form that reads back to the same value.

    Text that a spreadsheet would run as a formula gets a leading apostrophe; tabs and line breaks
    inside a text become spaces, for they would break the row. Booleans are `true` and `false`.
    """
    out = frame.copy()
    for column in out.columns:
        if out[column].dtype == bool:
            out[column] = out[column].map({True: "true", False: "false"})
        elif not pd.api.types.is_numeric_dtype(out[column]):
            # Most texts stand in many rows: each is looked at once.
            texts = out[column].unique() if isinstance(out[column].dtype, pd.StringDtype) else ()
            plain = {text: _plain_cell(text) for text in texts}
            out[column] = out[column].map(plain if plain else _plain_cell)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    out.to_csv(path, sep="\t", index=False, na_rep="", lineterminator="\n")


def read_tsv(path: str | Path) -> pd.DataFrame:
    """Read a table that `write_tsv` wrote; only an empty field is a missing value."""
    return pd.read_csv(
        path,
        sep="\t",
        keep_default_na=False,
        na_values=[""],
        dtype=dict.fromkeys(TEXT_COLUMNS, "str"),
    )


def _plain_cell(value):
    if not isinstance(value, str):
        return value
    value = " ".join(value.replace("\t", " ").splitlines()) if value else value
    return "'" + value if value.lstrip(_PASSED_OVER).startswith(_FORMULA_STARTS) else value
