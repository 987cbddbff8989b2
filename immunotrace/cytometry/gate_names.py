"""Which gates a Gating-ML 2.0 file holds; the standard library does, for Snakemake asks while it plans."""

from xml.etree import ElementTree

_GATING = "{http://www.isac-net.org/std/Gating-ML/v2.0/gating}"
_DATATYPES = "{http://www.isac-net.org/std/Gating-ML/v2.0/datatypes}"
SHAPES = ("RectangleGate", "PolygonGate", "EllipsoidGate")
_GROUPS = ("QuadrantGate", "BooleanGate")


def gate_populations(path: str) -> tuple[list[str], list[str]]:
    """The population paths of a Gating-ML file's rectangles, polygons and ellipses; what is wrong.

    Names are those of `immunotrace.cytometry.gates`: from the gate's custom_info, else its ID.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        return [], [f"{path}: cannot be read ({error.strerror})."]
    except ElementTree.ParseError as error:
        return [], [f"{path}: not XML ({error}); expected a Gating-ML 2.0 document."]
    if root.tag != f"{_GATING}Gating-ML":
        return [], [f"{path}: not a Gating-ML 2.0 document; its first element is {root.tag!r}."]
    names, parents, shapes = {}, {}, []
    for element in root:
        kind = element.tag.removeprefix(_GATING)
        if kind not in (*SHAPES, *_GROUPS):
            continue
        identity = element.get(f"{_GATING}id", "")
        name = element.findtext(f"{_DATATYPES}custom_info/population", "").strip()
        names[identity] = (name or identity).replace("/", "\u2215")
        parents[identity] = element.get(f"{_GATING}parent_id")
        if kind in SHAPES:
            shapes.append(identity)
        for quadrant in element.iter(f"{_GATING}Quadrant"):
            part = quadrant.get(f"{_GATING}id", "")
            names[part] = part.replace("/", "\u2215")
            parents[part] = parents[identity]  # a quadrant gate is no population itself

    def path_of(identity: str | None, below: frozenset[str] = frozenset()) -> str:
        if identity is None or identity not in names or identity in below:
            return ""
        above = path_of(parents[identity], below | {identity})
        return f"{above}/{names[identity]}" if above else names[identity]

    return [path_of(identity) for identity in shapes], []
