"""What is odd about the annotated objects of one image, though it can be read."""

from collections.abc import Sequence

from src.reading.records import SourceObject

SHOWN = 5  # ids
REMEDIES = {
    "incomplete": ": parts of an outline with fewer than three points are left out",
    "shrunk": " with an outline through the centres of pixels, which cuts off a row and a column; "
    "set dataset.polygons to centres",
    "line": ": lines or points, which cover nothing and are left out",
    "crowd": " with iscrowd 1, which are ignored; set dataset.crowd to objects if they are objects",
    "comb": ": stripes, runs over the edge of a line or backwards, or '1 1' alone; see whether "
    "dataset.rle_order, rle_first, rle_starts and rle_empty are those of the table",
}


def find_repeated(objects: Sequence[SourceObject]) -> list[bool]:
    """Tell which objects have exactly the pixels of one before them.

    Parameters
    ----------
    objects : sequence of SourceObject
        Of one image. A crowd and an object are never the same, nor are two without a pixel.

    Returns
    -------
    repeated : list of bool
        For each object; False for the first of those that are the same.
    """
    seen, repeated = set(), []
    for one in objects:
        key = (one.crowd, one.region.runs.tobytes())
        repeated.append(key in seen and one.region.area > 0)
        seen.add(key)
    return repeated


def object_warnings(objects: Sequence[SourceObject]) -> list[tuple[str, str]]:
    """Name the objects that are odd.

    Parameters
    ----------
    objects : sequence of SourceObject
        Of one image.

    Returns
    -------
    warnings : list of (kind, detail)
        At most one of each kind, in this order: "outside" (the outline leaves the image by more
        than a pixel), "repaired" (it crosses itself), "incomplete" (a part of it has fewer than
        three points), "shrunk" (its pixels are a row and a column fewer than its area), "line"
        (it is a line or a point, no outline), "crowd" (it is ignored), "comb" (run lengths seem to
        count otherwise than they are read), "vanished" (it covers no pixel), "duplicate" (it has
        the pixels of one before). The detail tells how many there are and the ids of the first.
    """
    found = {
        "outside": [one.id for one in objects if one.outside],
        "repaired": [one.id for one in objects if one.repaired],
        "incomplete": [one.id for one in objects if one.incomplete],
        "shrunk": [one.id for one in objects if one.shrunk],
        "line": [one.id for one in objects if one.line],
        "crowd": [one.id for one in objects if one.crowd and not (one.outer or one.void)],
        "comb": [one.id for one in objects if one.comb],
        "vanished": [one.id for one in objects if not (one.region.area or one.line)],
        "duplicate": [
            one.id for one, flag in zip(objects, find_repeated(objects), strict=True) if flag
        ],
    }
    return [(kind, _listed(ids) + REMEDIES.get(kind, "")) for kind, ids in found.items() if ids]


def _listed(ids: list[int]) -> str:
    shown = " ".join(map(str, ids[:SHOWN])) + " ..." * (len(ids) > SHOWN)
    return f"{len(ids)} object{'s' * (len(ids) > 1)} (id {shown})"
