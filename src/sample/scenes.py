"""Aerial photographs drawn from a plan: textured ground, shadows, roofs, trees, a poor camera."""

from typing import NamedTuple

import cv2
import numpy as np

from src.sample.buildings import courtyards_of, outline_of
from src.sample.footprints import Footprint
from src.sample.layout import Patch, Plan, Tree, plan_scene
from src.sample.roofs import Sun, cast_shadow, draw_roof

SCALE = 2  # cells a px while drawing
SHADE = np.array([0.32, 0.36, 0.43], np.float32)  # of the light that is left in a shadow
GRAINS = {"fine": 1, "middle": 3, "coarse": 11, "broad": 40}  # px
# how strongly each grain shows
TEXTURES = {
    "grass": {"fine": 0.07, "middle": 0.08, "coarse": 0.08, "broad": 0.05},
    "soil": {"fine": 0.05, "middle": 0.04, "coarse": 0.06, "broad": 0.05},
    "asphalt": {"fine": 0.03, "middle": 0.02, "coarse": 0.03, "broad": 0.02},
    "paving": {"fine": 0.03, "middle": 0.03, "coarse": 0.04, "broad": 0.02},
    "crop": {"fine": 0.06, "middle": 0.05, "coarse": 0.06, "broad": 0.04},
    "water": {"fine": 0.01, "middle": 0.03, "coarse": 0.04, "broad": 0.02},
    "plain": {"fine": 0.02, "middle": 0.02, "coarse": 0.02, "broad": 0.0},
}
STRIPES = {"crop": (4.5, 0.09), "paving": (3.0, 0.025)}  # px, contrast


class Scene(NamedTuple):
    """A photograph and what stands in it."""

    image: np.ndarray  # uint8 (size, size, 3), RGB
    footprints: list[Footprint]  # of all buildings that reach into the image


def draw_scene(rng: np.random.Generator, kind: str, size: int, tile: int) -> Scene:
    """Plan and draw a square scene.

    Parameters
    ----------
    rng : Generator
        All chance comes from it: same state, same scene.
    kind : str
        A key of `aerial_zones.ZONES`.
    size : int
        Side, px.
    tile : int
        Side of the tiles it will be cut into, px; see `plan_scene`.

    Returns
    -------
    scene : Scene
        Footprints do not overlap; they are what the roof covers, under trees too.
    """
    plan = plan_scene(rng, kind, size, tile)
    return Scene(photograph(draw_plan(plan, size, rng), rng), footprints_of(plan, size))


def footprints_of(plan: Plan, size: int) -> list[Footprint]:
    """Return the footprints, in order, of the plan's buildings that reach into the scene."""
    footprints = []
    for building in plan.buildings:
        outline = outline_of(building)
        if (outline.max(axis=0) > 0).all() and (outline.min(axis=0) < size).all():
            footprints.append(Footprint([outline], courtyards_of(building)))
    return footprints


def draw_plan(plan: Plan, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what is in a plan, sharp and without noise.

    Parameters
    ----------
    plan : Plan
        See there.
    size : int
        Side, px.
    rng : Generator
        Sets the sun and every texture.

    Returns
    -------
    image : ndarray of float32, shape (size, size, 3)
        RGB, 0 to about 1.
    """
    side = size * SCALE
    canvas = np.zeros((side, side, 3), np.float32)
    grain = {name: _noise(rng, side, width * SCALE) for name, width in GRAINS.items()}
    bearing = rng.uniform(-1.1, 1.1)  # rad from the lower edge: about noon, north up
    sun = Sun(np.array([np.sin(bearing), np.cos(bearing)]), rng.uniform(0.62, 0.88))
    tones = {
        texture: 1 + sum(share * grain[name] for name, share in shares.items())
        for texture, shares in TEXTURES.items()
    }
    for patch in plan.patches:
        _lay_patch(canvas, patch, grain, tones)
    shadow = np.zeros((side, side), np.uint8)
    for building in plan.buildings:
        cast_shadow(shadow, building, sun, SCALE)
    softened = cv2.GaussianBlur(shadow, (0, 0), 0.5 * SCALE)[..., None].astype(np.float32) / 255
    canvas *= 1 - softened * (1 - SHADE)
    for building in plan.buildings:
        draw_roof(canvas, building, sun, grain, SCALE, rng)
    for tree in plan.trees:
        _draw_tree(canvas, tree, sun, grain, rng)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take a poor picture: colour cast, haze, blur and noise, all one's own in each scene.

    Parameters
    ----------
    image : ndarray of float32, shape (H, W, 3)
        RGB, 0 to about 1.
    rng : Generator
        Chooses the camera.

    Returns
    -------
    photo : ndarray of uint8, shape (H, W, 3)
    """
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * rng.uniform(0.6, 1.15)
    image = np.clip(image * rng.normal(1, 0.05, 3), 0, 1) ** rng.uniform(0.85, 1.2)
    haze = rng.uniform(0, 0.18)
    image = image * (1 - haze) + haze * np.array([0.70, 0.74, 0.78])
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.85))
    strength = rng.uniform(0.008, 0.022)
    noise = rng.standard_normal((*image.shape[:2], 1), np.float32)
    noise = noise + 0.6 * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.round(255 * (image + strength * noise)), 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator, side: int, width: int) -> np.ndarray:
    """Return smooth noise of about unit variance whose blobs are `width` cells wide."""
    cells = rng.standard_normal((side // width + 2,) * 2, dtype=np.float32)
    return cv2.resize(cells, (side, side), interpolation=cv2.INTER_LINEAR) * 1.4


def _lay_patch(canvas: np.ndarray, patch: Patch, grain: dict, tones: dict) -> None:
    margin = int(np.ceil(patch.softness * SCALE)) + 1
    window = _window(patch.points * SCALE, margin, canvas)
    if window is None:
        return
    low, box = window
    alpha = _coverage(patch, low, box, grain)
    tone = tones[patch.texture][box]
    if patch.texture in STRIPES:
        period, contrast = (np.float32(value) for value in STRIPES[patch.texture])
        down = np.arange(low[1], low[1] + len(tone), dtype=np.float32)[:, None]
        across = np.arange(low[0], low[0] + tone.shape[1], dtype=np.float32)
        phase = down * np.float32(np.cos(patch.angle)) - across * np.float32(np.sin(patch.angle))
        tone = tone + contrast * np.cos(phase * (2 * np.pi / period / SCALE))
    colour = tone[..., None] * np.asarray(patch.colour, np.float32)
    if patch.texture == "grass":  # dry and lush spots
        colour += grain["coarse"][box][..., None] * np.array([0.022, 0.004, -0.006], np.float32)
    area = canvas[box]
    colour -= area
    colour *= alpha[..., None]
    area += colour


def _coverage(patch: Patch, low, box, grain) -> np.ndarray:
    shape = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    mask = np.zeros(shape, np.uint8)
    pixels = np.round((patch.points * SCALE - low - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [pixels], 255, cv2.LINE_AA, 4)
    alpha = mask.astype(np.float32) / 255
    if patch.softness == 0:
        return alpha
    alpha = cv2.GaussianBlur(alpha, (0, 0), patch.softness * SCALE * 0.5)
    ragged = alpha + 0.12 * grain["middle"][box] + 0.08 * grain["coarse"][box] * (alpha > 0.02)
    return np.clip((ragged - 0.5) * 3 + 0.5, 0, 1)


def _draw_tree(canvas, tree: Tree, sun: Sun, grain, rng) -> None:
    """Draw a crown of several lobes, brighter towards the sun, and its shadow before it."""
    centre, radius = np.array(tree.centre) * SCALE, tree.radius * SCALE
    away = -sun.towards * radius * 0.75
    corners = np.array([centre - radius * 1.15, centre + radius * 1.15])
    window = _window(np.concatenate([corners, corners + away]), 2, canvas)
    if window is None:
        return
    box = window[1]
    x = np.arange(box[1].start, box[1].stop, dtype=np.float32) + np.float32(0.5 - centre[0])
    y = np.arange(box[0].start, box[0].stop, dtype=np.float32) + np.float32(0.5 - centre[1])
    y, area, fine = y[:, None], canvas[box], grain["fine"][box]
    dark = np.hypot(x - np.float32(away[0]), y - np.float32(away[1])) / np.float32(radius)
    soft = np.clip((0.95 - dark + 0.08 * grain["middle"][box]) * 4, 0, 1)
    area *= 1 - soft[..., None] * (1 - SHADE)
    top, light = np.zeros_like(soft), np.zeros_like(soft)
    for dx, dy, r in _lobes(tree.radius, rng):
        u, v = (x - dx) / r, (y - dy) / r
        rise = (1 - u * u - v * v + np.float32(0.25) * fine) * r
        higher = rise > top
        top = np.where(higher, rise, top)
        bright = u * np.float32(sun.towards[0]) + v * np.float32(sun.towards[1])
        light = np.where(higher, np.float32(0.85) + np.float32(0.45) * bright, light)
    crown = top > 0
    tone = light * (1 + 0.12 * fine)
    area[crown] = (np.asarray(tree.colour, np.float32) * tone[..., None])[crown]


def _lobes(radius: float, rng: np.random.Generator) -> np.ndarray:
    """Spread the lobes of a crown like sunflower seeds: float32 rows of x, y, radius, in cells."""
    count = max(3, int(rng.uniform(0.9, 1.4) * radius) + 2)
    turn = rng.uniform(0, 2 * np.pi) + np.arange(count) * 2.4
    out = 0.62 * np.sqrt((np.arange(count) + 0.3) / count)
    size = rng.uniform(0.36, 0.55, count)
    lobes = np.stack([out * np.cos(turn), out * np.sin(turn), size], axis=1)
    return (lobes * radius * SCALE).astype(np.float32)


def _window(points: np.ndarray, margin: int, canvas: np.ndarray):
    """Return the corner and the slices of the part of the canvas round points, None if empty."""
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + margin, canvas.shape[1::-1])
    if (high <= low).any():
        return None
    return low, (slice(low[1], high[1]), slice(low[0], high[0]))
