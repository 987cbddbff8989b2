"""Numbers, days and lists as words: the one way in which figures and report write them."""

import math
from collections.abc import Iterable


def is_missing(value) -> bool:
    """Whether a cell of a table is empty: None, NaN or pandas' NA."""
    return value is None or type(value).__name__ == "NAType" or value != value


def number(value, digits: int = 3) -> str:
    """Three significant digits, thousands with commas, a real minus, never an exponent; "–" if none."""
    if is_missing(value):
        return "–"
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def fixed(value, decimals: int = 1) -> str:
    """A number with a fixed count of decimals, so that a column lines up."""
    if is_missing(value):
        return "–"
    # What rounds to zero has no sign.
    return f"{round(float(value), decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def count(value) -> str:
    return "–" if is_missing(value) else f"{int(value):,}"


def file_size(size: int) -> str:
    """Bytes as `840 bytes`, `12.3 kB` or `1.4 MB` (powers of 1000)."""
    for factor, unit in ((1_000_000, "MB"), (1000, "kB")):
        if size >= factor:
            return f"{number(size / factor)} {unit}"
    return f"{size} bytes"


def interval(low, high, digits: int = 3) -> str:
    """Bounds as `9.1 to 12`; an end that is missing is open."""
    if is_missing(low) and is_missing(high):
        return "–"
    if is_missing(low):
        return f"up to {number(high, digits)}"
    if is_missing(high):
        return f"from {number(low, digits)}"
    return f"{number(low, digits)} to {number(high, digits)}"


def with_interval(value, low, high, digits: int = 3) -> str:
    """A value with its interval in brackets: `10.2 (9.1 to 12)`."""
    bounds = interval(low, high, digits)
    return number(value, digits) + ("" if bounds == "–" else f" ({bounds})")


def span(values: Iterable) -> str:
    """The range of whole numbers, `3 to 6`, or the one number that they all are."""
    values = list(values)
    low, high = min(values), max(values)
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def blank(value) -> str:
    """Text as it is, nothing where there is none."""
    return "" if is_missing(value) else str(value)


def p_value(p) -> str:
    if is_missing(p):
        return "–"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def percent(fraction: float) -> str:
    """A level such as 0.95 as `95 %`."""
    return f"{100 * fraction:g} %"


def day(value) -> str:
    return f"day {int(value)}".replace("-", "−")


def days(values: Iterable) -> str:
    """Days as a list: `days −28, −14 and 7`."""
    ordered = sorted({int(value) for value in values})
    if len(ordered) == 1:
        return day(ordered[0])
    return "days " + listed(str(value).replace("-", "−") for value in ordered)


def listed(words: Iterable) -> str:
    """`a`, `a and b`, `a, b and c`."""
    words = [str(word) for word in words]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def things(amount: int, one: str, many: str | None = None) -> str:
    """`1 plate`, `3 plates`, `no plates`."""
    many = many or one + "s"
    return f"{amount:,} {one if amount == 1 else many}" if amount else f"no {many}"


def sentence(text: str) -> str:
    """Begin with a capital."""
    return text[:1].upper() + text[1:]


def leaf(population) -> str:
    """The last name of a population's path; the root is "all events"."""
    return "all events" if is_missing(population) else population.rsplit("/", 1)[-1] or "all events"


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """The shortest end of each population's path that no other path shares, joined by a comma."""
    paths = list(dict.fromkeys(paths))
    names = {}
    for path in paths:
        parts = path.split("/")
        for length in range(1, len(parts) + 1):
            end = parts[-length:]
            if sum(other.split("/")[-length:] == end for other in paths) == 1:
                break
        names[path] = ", ".join(end) or "all events"
    return names
