"""What the settlements of drawn scenes are made of: sizes, shares and colours."""

from typing import NamedTuple

ROOF_COLOURS = {
    "terracotta": (0.63, 0.38, 0.28),
    "rust": (0.47, 0.30, 0.22),
    "brown": (0.44, 0.36, 0.29),
    "slate": (0.33, 0.34, 0.36),
    "grey": (0.51, 0.51, 0.50),
    "pale": (0.70, 0.68, 0.64),
    "white": (0.82, 0.82, 0.80),
    "sand": (0.65, 0.56, 0.43),
    "blue": (0.36, 0.50, 0.60),
    "green": (0.38, 0.45, 0.34),
}
GROUND_COLOURS = {
    "grass": [(0.36, 0.43, 0.25), (0.43, 0.47, 0.28), (0.30, 0.38, 0.23), (0.52, 0.50, 0.33)],
    "soil": [(0.57, 0.40, 0.29), (0.64, 0.54, 0.41), (0.46, 0.36, 0.27), (0.69, 0.61, 0.49)],
    "paving": [(0.70, 0.68, 0.64), (0.53, 0.52, 0.51), (0.60, 0.42, 0.34), (0.80, 0.79, 0.76)],
    "asphalt": [(0.38, 0.38, 0.39), (0.46, 0.46, 0.46), (0.54, 0.53, 0.51)],
    "crop": [(0.40, 0.45, 0.25), (0.58, 0.50, 0.33), (0.50, 0.40, 0.29), (0.47, 0.50, 0.31)],
    "water": [(0.33, 0.55, 0.62), (0.38, 0.50, 0.60), (0.30, 0.48, 0.50)],
}
CAR_COLOURS = [
    (0.85, 0.85, 0.85),
    (0.20, 0.20, 0.22),
    (0.55, 0.56, 0.58),
    (0.60, 0.20, 0.18),
    (0.25, 0.32, 0.50),
    (0.75, 0.73, 0.68),
]
TREE_COLOURS = [(0.22, 0.30, 0.15), (0.27, 0.36, 0.18), (0.33, 0.38, 0.20), (0.20, 0.28, 0.18)]
COVERS = {"hip": ["tiles"], "gable": ["tiles", "sheet"], "pent": ["sheet"], "flat": ["gravel"]}


class Zone(NamedTuple):
    """What a kind of settlement is made of; pairs are ranges, px."""

    street: tuple[float, float]
    plot_width: tuple
    plot_depth: tuple
    gap: tuple  # between a building and the sides of its plot
    depth_share: tuple  # of the plot's depth that the building takes
    widest: float  # px a building is wide at most
    built: float  # share of plots with a building
    touching: float  # share of plots with two buildings that touch
    shapes: dict  # weights
    roofs: dict  # weights
    grounds: dict  # weights
    sheds: float  # of these and what follows, how many a plot
    yards: float
    trees: float
    cars: float


ZONES = {
    "suburb": Zone(
        street=(11, 14),
        plot_width=(27, 37),
        plot_depth=(34, 43),
        gap=(3.0, 5.5),
        depth_share=(0.42, 0.58),
        widest=32,
        built=0.88,
        touching=0.0,
        shapes={"rect": 0.62, "ell": 0.30, "u": 0.08},
        roofs={"hip": 0.6, "gable": 0.3, "flat": 0.1},
        grounds={"grass": 0.75, "soil": 0.15, "paving": 0.10},
        sheds=0.15,
        yards=0.40,
        trees=1.6,
        cars=0.4,
    ),
    "rows": Zone(
        street=(10, 13),
        plot_width=(20, 28),
        plot_depth=(35, 43),
        gap=(1.6, 2.3),
        depth_share=(0.48, 0.64),
        widest=27,
        built=0.92,
        touching=0.05,
        shapes={"rect": 0.92, "ell": 0.08},
        roofs={"gable": 0.75, "hip": 0.15, "flat": 0.1},
        grounds={"grass": 0.6, "soil": 0.2, "paving": 0.2},
        sheds=0.10,
        yards=0.25,
        trees=0.7,
        cars=0.3,
    ),
    "dense": Zone(
        street=(8, 11),
        plot_width=(24, 36),
        plot_depth=(28, 36),
        gap=(1.7, 2.8),
        depth_share=(0.55, 0.72),
        widest=32,
        built=0.84,
        touching=0.04,
        shapes={"rect": 0.80, "ell": 0.14, "u": 0.06},
        roofs={"gable": 0.5, "pent": 0.25, "hip": 0.1, "flat": 0.15},
        grounds={"grass": 0.1, "soil": 0.7, "paving": 0.2},
        sheds=0.12,
        yards=0.2,
        trees=0.45,
        cars=0.25,
    ),
    "industry": Zone(
        street=(13, 17),
        plot_width=(46, 72),
        plot_depth=(52, 66),
        gap=(4.0, 8.0),
        depth_share=(0.52, 0.68),
        widest=48,
        built=0.88,
        touching=0.0,
        shapes={"rect": 0.48, "ell": 0.20, "u": 0.16, "ring": 0.16},
        roofs={"flat": 0.50, "gable": 0.35, "pent": 0.15},
        grounds={"grass": 0.25, "soil": 0.25, "paving": 0.50},
        sheds=0.8,
        yards=0.5,
        trees=1.0,
        cars=1.6,
    ),
    "farms": Zone(
        street=(8, 10),
        plot_width=(60, 100),
        plot_depth=(60, 90),
        gap=(8.0, 16.0),
        depth_share=(0.32, 0.44),
        widest=42,
        built=0.30,
        touching=0.0,
        shapes={"rect": 0.4, "ell": 0.25, "u": 0.2, "ring": 0.15},
        roofs={"gable": 0.6, "hip": 0.4},
        grounds={"grass": 0.4, "soil": 0.15, "crop": 0.45},
        sheds=0.3,
        yards=0.2,
        trees=2.0,
        cars=0.2,
    ),
}
