"""Plans of buildings: simple, L- and U-shaped ones, courtyards; where they stand in a scene."""

from typing import NamedTuple

import numpy as np


class Building(NamedTuple):
    """A building: its outline and wings lie round (0, 0), turned by `angle` about `centre`."""

    centre: tuple  # (x, y), px in the scene
    angle: float  # rad
    outline: np.ndarray  # float64 (N, 2), px
    hole: np.ndarray | None  # float64 (M, 2), px: a courtyard
    wings: list  # of (left, top, right, bottom, ridge axis), px: their union is the building
    roof: str  # hip, gable, pent, flat
    cover: str  # tiles, sheet, gravel
    colour: tuple  # RGB in [0, 1]
    height: float  # px


def place(points, centre: tuple, angle: float) -> np.ndarray:
    """Turn points (N, 2) by `angle` (rad) about the origin, then move them to `centre`."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points, float) @ np.array([[cos, sin], [-sin, cos]]) + centre


def outline_of(building: Building) -> np.ndarray:
    """Return the outline, float64 (N, 2), in px of the scene."""
    return place(building.outline, building.centre, building.angle)


def courtyards_of(building: Building) -> list[np.ndarray]:
    """Return the courtyards, none or one, each float64 (M, 2) in px of the scene."""
    holes = [] if building.hole is None else [building.hole]
    return [place(hole, building.centre, building.angle) for hole in holes]


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Return the four corners, float64 (4, 2)."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def wing_plan(rng: np.random.Generator, shape: str, width: float, depth: float, roof: str):
    """Draw up the plan of a building round (0, 0).

    Parameters
    ----------
    rng : Generator
        Chooses the widths of wings and which side is which.
    shape : {"rect", "ell", "u", "ring"}
        A shape whose wings would be too narrow becomes a simpler one.
    width, depth : float
        Outer size, px.
    roof : str
        Wings of gable roofs meet at the ridge of the main wing, others overlap at the corner.

    Returns
    -------
    outline : ndarray of float64, shape (N, 2)
    hole : ndarray of float64, shape (4, 2), or None
    wings : list of (left, top, right, bottom, ridge axis)
    """
    x, y, mirror = width / 2, depth / 2, rng.choice([-1.0, 1.0])
    bar, hole = rng.uniform(0.44, 0.54) * depth, None
    limb = rng.uniform(0.9, 1.0) * bar if shape == "ell" else rng.uniform(0.29, 0.34) * width
    if shape in ("u", "ring"):
        bar = rng.uniform(0.30, 0.36) * depth
    inner = -y + bar / 2 if roof == "gable" else -y  # where limbs meet the main wing
    if shape == "ring" and min(width, depth) > 26:
        thick = 0.31 * min(width, depth)
        hole = rectangle(-x + thick, -y + thick, x - thick, y - thick)
        outline = rectangle(-x, -y, x, y)
        wings = [(-x, -y, x, -y + thick, 0), (-x, y - thick, x, y, 0)]
        cut = thick / 2 if roof == "gable" else 0
        wings += [(-x, -y + cut, -x + thick, y - cut, 1), (x - thick, -y + cut, x, y - cut, 1)]
    elif shape == "u" and min(width, depth) > 19:
        a, b = -x + limb, x - limb
        corners = [(-x, -y), (x, -y), (x, y), (b, y), (b, -y + bar), (a, -y + bar), (a, y), (-x, y)]
        outline = np.array(corners)
        wings = [(-x, -y, x, -y + bar, 0), (-x, inner, a, y, 1), (b, inner, x, y, 1)]
    elif shape != "rect" and min(width, depth) > 15 and limb < 0.7 * width:
        a = -x + limb
        outline = np.array([(-x, -y), (x, -y), (x, -y + bar), (a, -y + bar), (a, y), (-x, y)])
        wings = [(-x, -y, x, -y + bar, 0), (-x, inner, a, y, 1)]
    else:
        outline, wings = rectangle(-x, -y, x, y), [(-x, -y, x, y, int(depth > width))]
    if mirror < 0:
        outline = outline * (-1, 1)
        wings = [(-right, top, -left, low, axis) for left, top, right, low, axis in wings]
    return outline, hole, wings
