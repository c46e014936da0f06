"""Roofs seen from above: slopes shaded by the sun, ridges, tiles and sheets, and the shadows."""

from typing import NamedTuple

import cv2
import numpy as np

from src.sample.buildings import Building, courtyards_of, outline_of

SLOPES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)], float)  # which way each face looks, x, y
RUST = np.array([0.40, 0.25, 0.17])
AMBIENT = 0.36  # of the light on level ground


class Sun(NamedTuple):
    """Where the light comes from."""

    towards: np.ndarray  # float64 (2,): unit vector x, y on the ground
    elevation: float  # rad


class Faces(NamedTuple):
    """A roof on a grid of points; all (h, w)."""

    covered: np.ndarray  # bool
    face: np.ndarray  # index into `SLOPES` of the slope
    rise: np.ndarray  # px inwards from the eave of that slope
    along: np.ndarray  # px along the eave


def roof_faces(building: Building, x: np.ndarray, y: np.ndarray) -> Faces:
    """Tell for points which slope of the roof they are on.

    Parameters
    ----------
    building : Building
        Only `wings` and `roof` are looked at: each wing has its own roof, where wings overlap the
        higher one is seen; slopes of a hip roof fall to all four sides, of a gable roof to the
        two along its ridge, of a pent roof to one.
    x, y : ndarray of float, shape (h, w)
        Points in the building's own coordinates, px.

    Returns
    -------
    faces : Faces
        Where not covered, the other planes mean nothing.
    """
    covered = np.zeros(x.shape, bool)
    rise, face = np.full(x.shape, -1.0), np.zeros(x.shape, np.uint8)
    for left, top, right, low, axis in building.wings:
        inwards = np.stack([right - x, x - left, low - y, y - top])
        inside = inwards.min(axis=0) > 0
        first, last = (0, 4) if building.roof in ("hip", "flat") else (2 - 2 * axis, 4 - 2 * axis)
        last = first + 1 if building.roof == "pent" else last
        own_face = first + inwards[first:last].argmin(axis=0)
        own_rise = inwards[first:last].min(axis=0)
        higher = inside & (own_rise > rise)
        rise, face = np.where(higher, own_rise, rise), np.where(higher, own_face, face)
        covered |= inside
    return Faces(covered, face, rise, np.where(face < 2, y, x))


def face_light(building: Building, sun: Sun, pitch: float) -> np.ndarray:
    """Return the brightness of the four slopes, float64 (4,), relative to level ground.

    Parameters
    ----------
    building : Building
        Only `angle` is looked at.
    sun : Sun
        See there.
    pitch : float
        Of the slopes, rad; 0 gives 1 everywhere.
    """
    cos, sin = np.cos(building.angle), np.sin(building.angle)
    own = np.array([[cos, -sin], [sin, cos]])  # the sun in the building's coordinates
    facing = SLOPES @ (sun.towards @ own)
    direct = np.sin(pitch) * np.cos(sun.elevation) * facing + np.cos(pitch) * np.sin(sun.elevation)
    return AMBIENT + (1 - AMBIENT) * np.maximum(direct, 0) / np.sin(sun.elevation)


def cast_shadow(shadow: np.ndarray, building: Building, sun: Sun, scale: int) -> None:
    """Set to 255, in a uint8 (H, W) canvas of `scale` cells a px, where a building shades.

    The shadow is its outline, courtyards cut out, swept away from the sun for
    height / tan(elevation).
    """
    sweep = -sun.towards * building.height / np.tan(sun.elevation)
    for ring in (outline_of(building), *courtyards_of(building)):
        after = np.roll(ring, -1, axis=0)
        for a, b in zip(ring, after, strict=True):
            _fill(shadow, [np.array([a, b, b + sweep, a + sweep])], scale)
    rings = [ring + sweep for ring in (outline_of(building), *courtyards_of(building))]
    _fill(shadow, rings, scale)


def draw_roof(
    canvas: np.ndarray,
    building: Building,
    sun: Sun,
    grain: dict[str, np.ndarray],
    scale: int,
    rng: np.random.Generator,
) -> None:
    """Draw a roof into a canvas.

    Parameters
    ----------
    canvas : ndarray of float32, shape (H, W, 3)
        RGB in [0, 1], `scale` cells a px; changed in place.
    building : Building
        See there; what lies beyond the canvas is left out.
    sun : Sun
        Shades the slopes.
    grain : dict of ndarray of float32, shape (H, W)
        Noise of unit variance: fine, middle, coarse.
    scale : int
        Cells a px.
    rng : Generator
        Chooses pitch, tiles, stains, skylights and what stands on the roof.
    """
    corners = outline_of(building) * scale
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, canvas.shape[1::-1])
    if (high - low < 2).any():
        return
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    x, y = _own_grid(building, low, high, scale)
    faces = roof_faces(building, x, y)
    if not faces.covered.any():
        return
    fine, middle, coarse = (grain[name][box] for name in ("fine", "middle", "coarse"))
    tone = 1 + 0.03 * fine + 0.05 * middle + 0.06 * coarse
    if building.roof == "flat":
        tone *= _parapet_tone(faces, sun, scale, rng) + 0.03 * fine
    else:
        pitch = rng.uniform(0.22, 0.36) if building.cover == "sheet" else rng.uniform(0.4, 0.6)
        tone *= face_light(building, sun, pitch)[faces.face]
        tone *= _cover_tone(building.cover, faces, rng) * _ridge_tone(faces, rng)
    colour = np.asarray(building.colour) * tone[..., None]
    if building.cover == "sheet" and rng.random() < 0.4:
        rusty = np.clip(0.5 * coarse + 0.35 * middle - 0.2, 0, 0.65)[..., None]
        colour = colour * (1 - rusty) + RUST * tone[..., None] * rusty
    _fit_out(colour, building, faces, x, y, rng)
    canvas[box][faces.covered] = colour[faces.covered]


def _own_grid(building: Building, low, high, scale: int) -> tuple[np.ndarray, np.ndarray]:
    across = (np.arange(low[0], high[0]) + 0.5) / scale - building.centre[0]
    down = (np.arange(low[1], high[1]) + 0.5) / scale - building.centre[1]
    across, down = across.astype(np.float32), down.astype(np.float32)[:, None]
    cos, sin = np.float32(np.cos(building.angle)), np.float32(np.sin(building.angle))
    return across * cos + down * sin, down * cos - across * sin


def _cover_tone(cover: str, faces: Faces, rng: np.random.Generator) -> np.ndarray:
    """Courses of tiles run along the eave, the ribs and panels of sheets up the slope."""
    if cover == "tiles":
        return 1 + 0.06 * np.cos(2 * np.pi * faces.rise / rng.uniform(2.0, 2.8))
    ribs = 1 + 0.06 * np.cos(2 * np.pi * faces.along / rng.uniform(2.2, 3.2))
    panels = rng.normal(1, 0.05, 64)[(faces.along // rng.uniform(3, 6)).astype(int) % 64]
    return ribs * panels


def _ridge_tone(faces: Faces, rng: np.random.Generator) -> np.ndarray:
    """Draw the lines where slopes meet, and the gutter at the eaves."""
    breaks = np.zeros(faces.face.shape, np.uint8)
    breaks[:, 1:] |= faces.face[:, 1:] != faces.face[:, :-1]
    breaks[1:] |= faces.face[1:] != faces.face[:-1]
    line, gutter = rng.choice([0.82, 1.16]), rng.uniform(0.72, 0.9)
    return np.where(breaks, line, 1.0) * np.where(faces.rise < 0.6, gutter, 1.0)


def _parapet_tone(faces: Faces, sun: Sun, scale: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a low wall round a flat roof, bright on top, that shades the roof behind it."""
    padded = cv2.copyMakeBorder(faces.covered.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inwards = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    wall, reach = rng.uniform(0.7, 1.1) * scale, rng.uniform(1.2, 2.2) * scale
    shift = np.array([[1, 0, -sun.towards[0] * reach], [0, 1, -sun.towards[1] * reach]], np.float32)
    sunward = cv2.warpAffine(inwards, shift, inwards.shape[::-1], flags=cv2.INTER_NEAREST)
    tone = np.where(sunward < wall, rng.uniform(0.55, 0.7), 1.0)
    return np.where(inwards < wall, rng.uniform(1.1, 1.25), tone)


def _fit_out(colour, building, faces, x, y, rng) -> None:
    """Put boxes on flat roofs, skylights on sheet ones, chimneys or solar panels on others."""
    left, top, right, low, _ = building.wings[0]
    large = min(right - left, low - top) > 14
    if building.roof == "flat":
        for _ in range(rng.integers(1, 5) if large else rng.integers(0, 2)):
            _put_box(colour, building, x, y, rng.uniform(0.8, 1.9, 2), rng)
    elif large and building.cover == "sheet" and rng.random() < 0.5:
        rows = (faces.along + 200) % rng.uniform(7, 10) < 1.4
        colour[rows & (faces.rise > 2.5) & (faces.rise < 6)] *= 1.25
    elif rng.random() < 0.12:
        panels = (faces.face == rng.integers(4)) & (faces.rise > 1.5) & (faces.rise < 5)
        colour[panels & (abs(faces.along) < 5)] = (0.17, 0.21, 0.30)
    elif building.cover == "tiles" and rng.random() < 0.5:
        _put_box(colour, building, x, y, (0.7, 0.7), rng)


def _put_box(colour, building, x, y, half, rng) -> None:
    """Stand something small, with its own shadow, on the main wing."""
    left, top, right, low, _ = building.wings[0]
    x = x - rng.uniform(left + 0.2 * (right - left), right - 0.2 * (right - left))
    y = y - rng.uniform(top + 0.2 * (low - top), low - 0.2 * (low - top))
    colour[(abs(x - 0.8) < half[0]) & (abs(y - 0.8) < half[1])] *= 0.6
    colour[(abs(x) < half[0]) & (abs(y) < half[1])] = rng.uniform(0.42, 0.8)


def _fill(shadow: np.ndarray, rings: list[np.ndarray], scale: int) -> None:
    pixels = [np.round((ring * scale - 0.5) * 16).astype(np.int32) for ring in rings]
    cv2.fillPoly(shadow, pixels, 255, cv2.LINE_8, 4)
