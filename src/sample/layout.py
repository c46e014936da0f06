"""Where things are in a drawn aerial scene: streets, plots, buildings, yards, cars and trees."""

from typing import NamedTuple

import cv2
import numpy as np

from src.sample.buildings import Building, outline_of, place, rectangle, wing_plan
from src.sample.zones import (
    CAR_COLOURS,
    COVERS,
    GROUND_COLOURS,
    ROOF_COLOURS,
    TREE_COLOURS,
    ZONES,
    Zone,
)

BEYOND = 60  # px planned around the scene, so that its edge cuts through things
MIN_GAP = 2.4  # px between buildings that do not touch
MIN_SLICE = 6.0  # px of a building on either side of a tile's edge
PIECE, PIECE_OVERLAP = 45.0, 6.0  # px, of a street that bends
FINENESS = 3  # cells a pixel of the map of taken ground


class Patch(NamedTuple):
    """A flat piece of ground, street, water or car."""

    points: np.ndarray  # float64 (N, 2), px
    colour: tuple  # RGB in [0, 1]
    texture: str  # grass, soil, paving, asphalt, crop, water, plain
    softness: float  # px over which its edge frays; 0 is sharp
    angle: float  # rad, the direction of crop rows and paving


class Tree(NamedTuple):
    """A round crown."""

    centre: tuple  # (x, y), px
    radius: float  # px
    colour: tuple  # RGB in [0, 1]


class Plan(NamedTuple):
    """All that is in a scene; patches in the order in which they are laid."""

    patches: list[Patch]
    buildings: list[Building]
    trees: list[Tree]


class Plot(NamedTuple):
    """A piece of land along a street, in street coordinates."""

    left: float
    right: float
    near: float  # v of the side at the street
    far: float
    twin: bool  # two touching buildings stand on it


class Frame(NamedTuple):
    """Street coordinates: u along gently bent streets, v across them, (0, 0) the scene's centre."""

    centre: float  # px, both ways
    angle: float  # rad
    bend: float  # 1/px


class Site(NamedTuple):
    """What the makers of a scene's parts share."""

    rng: np.random.Generator
    zone: Zone
    frame: Frame
    size: int  # px
    tile: int  # px
    taken: np.ndarray  # uint8: ground that buildings stand on, `FINENESS` cells a pixel
    roofs: np.ndarray  # weight of each of `ROOF_COLOURS`
    grounds: dict  # texture -> the scene's colour of it


def plan_scene(rng: np.random.Generator, kind: str, size: int, tile: int) -> Plan:
    """Plan a square scene.

    Parameters
    ----------
    rng : Generator
        All chance comes from it.
    kind : str
        A key of `ZONES`.
    size : int
        Side of the scene, px.
    tile : int
        Side of the tiles it will be cut into, px: no building is built of which a tile's edge
        would shave off less than `MIN_SLICE`.

    Returns
    -------
    plan : Plan
        Things may reach beyond the scene. Buildings never overlap; those that do not touch are
        at least `MIN_GAP` apart.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    if kind not in ZONES:
        raise ValueError(f"unknown kind '{kind}'; known: {', '.join(ZONES)}")
    grounds = {name: _tint(rng, _pick(rng, tones)) for name, tones in GROUND_COLOURS.items()}
    site = Site(
        rng=rng,
        zone=ZONES[kind],
        frame=Frame(size / 2, rng.uniform(0, np.pi), rng.uniform(-6e-4, 6e-4)),
        size=size,
        tile=tile,
        taken=np.zeros((FINENESS * (size + 2 * BEYOND),) * 2, np.uint8),
        roofs=rng.dirichlet(np.full(len(ROOF_COLOURS), 0.7)),
        grounds=grounds,
    )
    plots, streets, cars = _streets(site)
    base = _weighted(rng, site.zone.grounds)
    everything = rectangle(-BEYOND, -BEYOND, size + BEYOND, size + BEYOND)
    patches = [Patch(everything, grounds[base], base, 0, site.frame.angle)]
    buildings, yards, trees = [], [], []
    for plot in plots:
        patches += _ground(site, plot)
        houses = _built(site, plot)
        buildings += houses
        yards += _yards(site, plot)
        if not houses and site.zone.widest > 40 and rng.random() < 0.15:
            yards += _court(site, plot)
        cars += _parked(site, plot)
    for plot in plots:
        trees += _plot_trees(site, plot)
    trees += _wood(site)
    return Plan(patches + streets + yards + cars, buildings, trees)


def _streets(site: Site) -> tuple[list[Plot], list[Patch], list[Patch]]:
    """Lay parallel streets with two rows of plots between them, and streets across."""
    rng, zone, reach = site.rng, site.zone, site.size * 0.72 + BEYOND
    crossings = [-reach + rng.uniform(0, 150)]
    while crossings[-1] < reach:
        crossings.append(crossings[-1] + rng.uniform(120, 230))
    widths = rng.uniform(*zone.street, len(crossings))
    plots, streets, cars = [], [], []
    v = -reach - rng.uniform(0, 60)
    while v < reach:
        width = rng.uniform(*zone.street)
        streets.append((-reach, v, reach, v + width))
        cars += _driving(site, v, v + width, reach)
        middle = v + width + rng.uniform(*zone.plot_depth)
        far = middle + rng.uniform(*zone.plot_depth)
        for near, back in ((v + width, middle), (far, middle)):
            for start, street, stop in zip(crossings, widths, crossings[1:], strict=False):
                plots += _row_of_plots(site, start + street, stop, near, back)
        v = far
    ends = zip(crossings, widths, strict=True)
    streets += [(start, -reach, start + width, reach) for start, width in ends]
    seen = [p for p in plots if _is_seen(site, (p.left, p.near, p.right, p.far))]
    return seen, _surfaces(site, streets), cars


def _row_of_plots(site: Site, start: float, stop: float, near: float, far: float) -> list[Plot]:
    plots, left = [], start
    while left < stop - site.zone.plot_width[0]:
        twin = site.rng.random() < site.zone.touching
        right = left + site.rng.uniform(*site.zone.plot_width) * (1.8 if twin else 1)
        plots.append(Plot(left, min(right, stop), near, far, twin))
        left = right
    return plots


def _is_seen(site: Site, box: tuple) -> bool:
    corners = _scene(site, rectangle(*box))
    inside = (corners.max(axis=0) > -12) & (corners.min(axis=0) < site.size + 12)
    return bool(inside.all())


def _surfaces(site: Site, streets: list[tuple]) -> list[Patch]:
    """Pave the streets piece by piece: kerbs below, carriageways above, a broken line on some."""
    paved = site.rng.random() < 0.75
    texture, rim, fray = ("asphalt", 1.6, 0.0) if paved else ("soil", 0.8, 2.5)
    colour, kerb = site.grounds[texture], _tint(site.rng, site.grounds["paving"])
    marked = paved and site.rng.random() < 0.5
    kerbs, ways, lines = [], [], []
    for street in streets:
        for left, near, right, far in _pieces(site, *street):
            inner = (left + rim, near + rim, right - rim, far - rim)
            ways.append(_patch(site, inner, colour, texture, fray))
            if paved:
                kerbs.append(_patch(site, (left, near, right, far), kerb, "paving", 0))
            if marked and right - left > far - near:
                v = (near + far) / 2
                for u in np.arange(left + PIECE_OVERLAP, right - PIECE_OVERLAP - 1, 9.0):
                    box = (u, v - 0.3, u + 4, v + 0.3)
                    lines.append(_patch(site, box, (0.72, 0.72, 0.70), "plain", 0))
    return kerbs + ways + lines


def _pieces(site: Site, left: float, near: float, right: float, far: float) -> list[tuple]:
    """Cut a street into the pieces, slightly overlapping, that are seen."""
    along = right - left > far - near
    starts = np.arange(left, right, PIECE) if along else np.arange(near, far, PIECE)
    pieces = []
    for start, stop in zip(starts - PIECE_OVERLAP, starts + PIECE + PIECE_OVERLAP, strict=True):
        piece = (start, near, stop, far) if along else (left, start, right, stop)
        if _is_seen(site, piece):
            pieces.append(piece)
    return pieces


def _ground(site: Site, plot: Plot) -> list[Patch]:
    """Cover a plot with one kind of ground; wear some bare, wall or hedge some off."""
    rng = site.rng
    texture = _weighted(rng, site.zone.grounds)
    colour = _tint(rng, site.grounds[texture], 0.08)
    box = (plot.left, plot.near, plot.right, plot.far)
    soft = 0.4 if texture == "paving" else rng.uniform(1.0, 4.0)
    patches = [_patch(site, box, colour, texture, soft)]
    if rng.random() < 0.5:
        other = _pick(rng, ["grass", "soil"])
        u, v = np.sort(rng.uniform(plot.left, plot.right, 2)), np.sort(rng.uniform(0, 1, 2))
        v = plot.near + v * (plot.far - plot.near)
        worn = _tint(rng, site.grounds[other])
        patches.append(_patch(site, (u[0], v[0], u[1], v[1]), worn, other, 5.0))
    if texture != "paving" and rng.random() < 0.35:
        wall, hedge = site.grounds["paving"], _tint(rng, _pick(rng, TREE_COLOURS))
        box = (plot.left - 0.7, plot.near, plot.left + 0.7, plot.far)
        patches.append(_patch(site, box, hedge if rng.random() < 0.6 else wall, "grass", 0.6))
    return patches


def _built(site: Site, plot: Plot) -> list[Building]:
    """Build on a plot: nothing, a building, two touching ones; and a shed behind."""
    buildings = []
    if site.rng.random() < site.zone.built:
        for _ in range(4):  # until the place is free
            buildings = buildings or _houses(site, plot)
    if site.rng.random() < site.zone.sheds:
        buildings += _shed(site, plot)
    return buildings


def _houses(site: Site, plot: Plot) -> list[Building]:
    """Build a house or two touching ones; none if there is no place."""
    rng, zone = site.rng, site.zone
    gap, front = rng.uniform(*zone.gap), rng.uniform(2.5, 6.0)
    land = abs(plot.far - plot.near)
    depth = min(land * rng.uniform(*zone.depth_share), land - front - 3)
    width = plot.right - plot.left - 2 * gap
    if not plot.twin:
        width = min(width, rng.uniform(0.75, 1.0) * zone.widest)
    if min(width, depth) < 9:
        return []
    free = plot.right - plot.left - 2 * gap - width
    u = plot.left + gap + width / 2 + rng.uniform(0, 1) * free
    v = plot.near + np.sign(plot.far - plot.near) * (front + depth / 2)
    angle = _angle(site, u) + (np.pi if plot.far < plot.near else 0) + rng.normal(0, 0.015)
    angle += rng.uniform(-0.25, 0.25) if rng.random() < 0.06 else 0
    centre = _scene(site, [(u, v)])[0]
    if plot.twin:
        houses = _twins(site, centre, angle, width, depth)
    else:
        shape = _weighted(rng, zone.shapes)
        houses = [_building(site, centre, angle, shape, width, depth)]
    return houses if _claim(site, houses) else []


def _twins(site: Site, centre, angle: float, width: float, depth: float) -> list[Building]:
    middle = site.rng.uniform(-0.08, 0.08) * width
    houses = []
    for left, right in ((-width / 2, middle), (middle, width / 2)):
        at = place([((left + right) / 2, 0)], centre, angle)[0]
        houses.append(_building(site, at, angle, "rect", right - left, depth))
    return houses


def _shed(site: Site, plot: Plot) -> list[Building]:
    rng = site.rng
    big = site.zone.widest > 40
    width, depth = rng.uniform(8, 14, 2) if big else rng.uniform(6, 9, 2)
    u = rng.uniform(plot.left + width / 2 + 1, plot.right - width / 2 - 1)
    v = plot.far - np.sign(plot.far - plot.near) * (depth / 2 + rng.uniform(1.5, 4))
    shed = _building(site, _scene(site, [(u, v)])[0], _angle(site, u), "rect", width, depth)
    roof = _pick(rng, ["pent", "gable"])
    shed = shed._replace(roof=roof, cover="sheet", height=rng.uniform(3.0, 4.0))
    return [shed] if _claim(site, [shed]) else []


def _building(site: Site, centre, angle: float, shape: str, width: float, depth: float) -> Building:
    rng = site.rng
    roof = _weighted(rng, site.zone.roofs)
    outline, hole, wings = wing_plan(rng, shape, width, depth, roof)
    if roof == "pent" and len(wings) > 1:
        roof = "gable"
    return Building(
        centre=tuple(centre),
        angle=angle,
        outline=outline,
        hole=hole,
        wings=wings,
        roof=roof,
        cover=_pick(rng, COVERS[roof]),
        colour=_tint(rng, list(ROOF_COLOURS.values())[rng.choice(len(site.roofs), p=site.roofs)]),
        height=rng.uniform(4.5, 6.5) + (2.0 if min(width, depth) > 28 else 0),
    )


def _yards(site: Site, plot: Plot) -> list[Patch]:
    """Lay flat things that look like roofs: terraces, pools, tarpaulins."""
    rng, patches = site.rng, []
    for _ in range(rng.poisson(site.zone.yards)):
        kind = _weighted(rng, {"terrace": 0.55, "pool": 0.25, "sheet": 0.2})
        width, depth = rng.uniform(6, 17, 2) if kind == "terrace" else rng.uniform(5, 11, 2)
        u = rng.uniform(plot.left + 1, max(plot.right - width - 1, plot.left + 2))
        v = plot.near + rng.uniform(0.05, 0.95) * (plot.far - plot.near) - depth / 2
        box = (u, v, u + width, v + depth)
        if kind == "terrace":
            colour = _pick(rng, [site.grounds["paving"], *ROOF_COLOURS.values()])
            patches.append(_patch(site, box, _tint(rng, colour), "paving", 0))
        elif kind == "pool":
            rim = (u - 1, v - 1, u + width + 1, v + depth + 1)
            patches.append(_patch(site, rim, site.grounds["paving"], "paving", 0))
            patches.append(_patch(site, box, _tint(rng, site.grounds["water"]), "water", 0))
        else:
            colour = _pick(rng, list(ROOF_COLOURS.values()))
            patches.append(_patch(site, box, _tint(rng, colour), "plain", 0.8))
    return patches


def _court(site: Site, plot: Plot) -> list[Patch]:
    u, v = (plot.left + plot.right) / 2, (plot.near + plot.far) / 2
    colour = _pick(site.rng, [(0.55, 0.33, 0.26), (0.33, 0.46, 0.36), (0.33, 0.43, 0.55)])
    patches = [_patch(site, (u - 19, v - 10, u + 19, v + 10), colour, "plain", 0)]
    for left, top, right, low in ((-14, -7, 14, -6.5), (-14, 6.5, 14, 7), (-0.3, -7, 0.3, 7)):
        box = (u + left, v + top, u + right, v + low)
        patches.append(_patch(site, box, (0.85, 0.85, 0.82), "plain", 0))
    return patches


def _parked(site: Site, plot: Plot) -> list[Patch]:
    """Park cars before the house, or in a row on the yard of a large plot."""
    rng, cars = site.rng, []
    inward = np.sign(plot.far - plot.near)
    if site.zone.widest > 40 and rng.random() < 0.45 * site.zone.cars / 1.6:
        v = plot.far - inward * rng.uniform(6, 10)
        for u in np.arange(plot.left + 5, plot.right - 5, 4.6)[: rng.integers(3, 11)]:
            if rng.random() < 0.75:
                cars += _car(site, u, v, np.pi / 2)
        return cars
    for _ in range(rng.poisson(min(site.zone.cars, 0.6))):
        u = rng.uniform(plot.left + 4, plot.right - 4)
        inside, turn = (-2.6, 0) if rng.random() < 0.6 else (3, np.pi / 2)
        cars += _car(site, u, plot.near + inward * inside, turn)
    return cars


def _driving(site: Site, top: float, bottom: float, reach: float) -> list[Patch]:
    cars = []
    for u in site.rng.uniform(-reach, reach, site.rng.poisson(3)):
        v = top + (bottom - top) * site.rng.choice([0.32, 0.68])
        cars += _car(site, u, v, 0)
    return cars


def _car(site: Site, u: float, v: float, turn: float) -> list[Patch]:
    """Put a car, or now and then a van, down: its shadow, body and windows."""
    rng = site.rng
    length, width = rng.uniform(6.6, 8.2), rng.uniform(3.0, 3.5)
    if rng.random() < 0.08:
        length, width = length * 1.7, width * 1.2
    colour = _tint(rng, _pick(rng, CAR_COLOURS), 0.05)
    centre, angle = _scene(site, [(u, v)])[0], _angle(site, u) + turn + rng.normal(0, 0.05)
    if abs(centre - site.size / 2).max() > site.size / 2 + 8:
        return []
    x, y = length / 2, width / 2
    shadow, body = rectangle(-x - 0.5, -y - 0.5, x + 0.5, y + 0.7), rectangle(-x, -y, x, y)
    screens = [rectangle(x * 0.15, -y * 0.8, x * 0.5, y * 0.8)]
    screens.append(rectangle(-x * 0.85, -y * 0.75, -x * 0.6, y * 0.75))
    parts = [(shadow, (0.16, 0.16, 0.18)), (body, colour)]
    parts += [(screen, (0.18, 0.20, 0.23)) for screen in screens]
    return [Patch(place(part, centre, angle), shade, "plain", 0, angle) for part, shade in parts]


def _plot_trees(site: Site, plot: Plot) -> list[Tree]:
    rng, trees = site.rng, []
    for _ in range(rng.poisson(site.zone.trees)):
        u = rng.uniform(plot.left, plot.right)
        v = plot.near + rng.beta(1.6, 0.9) * (plot.far - plot.near)
        trees += _tree(site, _scene(site, [(u, v)])[0], rng.uniform(2.2, 6.5))
    return trees


def _wood(site: Site) -> list[Tree]:
    """Grow a wood or a line of trees in some scenes."""
    rng, trees = site.rng, []
    if rng.random() > 0.4:
        return trees
    middle, spread = rng.uniform(0, site.size, 2), rng.uniform(14, 42)
    for at in rng.normal(middle, spread, (rng.integers(15, 60), 2)):
        trees += _tree(site, at, rng.uniform(3.5, 8.0))
    return trees


def _tree(site: Site, at, radius: float) -> list[Tree]:
    """Grow a tree unless it would stand on a building: crowns cover edges, not whole roofs."""
    cell = ((np.asarray(at) + BEYOND) * FINENESS).astype(int)
    on_map = (cell >= 0).all() and (cell < len(site.taken)).all()
    if not on_map or site.taken[cell[1], cell[0]]:
        return []
    return [Tree(tuple(at), radius, _tint(site.rng, _pick(site.rng, TREE_COLOURS)))]


def _is_shaved(site: Site, building: Building) -> bool:
    """Tell whether an edge of a tile cuts off a slice thinner than `MIN_SLICE`."""
    outline = outline_of(building)
    edges = np.arange(0, site.size + 1, site.tile)[:, None]
    slices = np.minimum(edges - outline.min(axis=0), outline.max(axis=0) - edges)
    return bool(((slices > 0) & (slices < MIN_SLICE)).any())


def _claim(site: Site, buildings: list[Building]) -> bool:
    """Take the ground of buildings if all of it, and the gap around, is free."""
    if any(_is_shaved(site, building) for building in buildings):
        return False
    shapes = [(outline_of(b) + BEYOND) * FINENESS for b in buildings]
    corners = np.concatenate(shapes)
    margin = MIN_GAP * FINENESS + 2
    low = np.floor(corners.min(axis=0) - margin).astype(int)
    high = np.ceil(corners.max(axis=0) + margin).astype(int)
    if (low < 0).any() or (high > len(site.taken)).any():
        return False
    window = site.taken[low[1] : high[1], low[0] : high[0]]
    own = np.zeros_like(window)
    around = np.zeros_like(window)
    for shape in shapes:
        pixels = np.round((shape - low) * 16).astype(np.int32)
        cv2.fillPoly(own, [pixels], 1, cv2.LINE_8, 4)
        thick = int(np.ceil(2 * MIN_GAP * FINENESS))
        cv2.polylines(around, [pixels], True, 1, thick, cv2.LINE_8, 4)
    if (window & (own | around)).any():
        return False
    window |= own
    return True


def _scene(site: Site, uv) -> np.ndarray:
    """Return scene coordinates (N, 2) of street coordinates (N, 2)."""
    u, v = np.asarray(uv, float).T
    bent = np.stack([u, v + site.frame.bend * u * u], axis=1)
    return place(bent, (site.frame.centre,) * 2, site.frame.angle)


def _angle(site: Site, u: float) -> float:
    return site.frame.angle + float(np.arctan(2 * site.frame.bend * u))


def _patch(site: Site, box: tuple, colour: tuple, texture: str, softness: float) -> Patch:
    """Lay a rectangle (left, near, right, far) of street coordinates."""
    angle = _angle(site, (box[0] + box[2]) / 2)
    return Patch(_scene(site, rectangle(*box)), colour, texture, softness, angle)


def _tint(rng: np.random.Generator, colour: tuple, spread: float = 0.10) -> tuple:
    shade = np.asarray(colour) * rng.normal(1, spread) * rng.normal(1, spread / 4, 3)
    return tuple(np.clip(shade, 0.05, 0.95))


def _pick(rng: np.random.Generator, choices: list):
    return choices[rng.integers(len(choices))]


def _weighted(rng: np.random.Generator, weights: dict) -> str:
    shares = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(shares), p=shares / shares.sum())]
