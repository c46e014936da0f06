"""How well the polygons of detections agree with those of the objects they have found.

Both are drawn by `src.outlines.object_outline`, as they are exported: a truth that came as a mask
has no corners of its own, and one that came as polygons is known here by its pixels alone.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import shapely
from shapely import MultiPolygon
from tqdm import tqdm

from src.formats.prepared import Annotation, ImageRecord, Rle
from src.judging.coco_evaluation import Prediction
from src.judging.group_draws import Sampled, group_weights, interval
from src.judging.params import EvaluateParams
from src.mosaics.runs import rle_runs
from src.outlines.object_outline import object_outline
from src.outlines.params import OutlinesParams
from src.parallel.memory import largest
from src.parallel.workers import WorkersParams, in_order

# shapely's types leave out its keywords.
# pyright: reportUnknownMemberType=false

TOLERANCE = 2.0  # px, how far apart boundaries are that agree, for the F-score
STEP = 0.5  # px, of a boundary is weighed at its middle
BYTES = 12  # of memory that a pixel of an image takes at most
OUTLINE_METRICS = {  # name -> sums over pairs, what is divided by what
    "polis": ("polis", "outlines"),
    "boundary_f": ("boundary_f", "outlines"),
    "vertex_ratio": ("vertices", "truth_vertices"),
    "c_iou": ("c_iou", "outlines"),
}
MOST = {"polis": np.inf, "vertex_ratio": np.inf}  # of those that may be above 1


class Agreement(NamedTuple):
    """How one polygon agrees with another, which is the truth."""

    polis: float  # px, from 0, where they are one
    boundary_f: float  # in [0, 1]
    vertices: int  # of the found one
    truth_vertices: int
    c_iou: float  # in [0, 1]


OUTLINE_COLUMNS = ("name", "outlines", *Agreement._fields)


def outline_agreement(found: MultiPolygon, truth: MultiPolygon) -> Agreement:
    """Compare two polygons.

    Parameters
    ----------
    found, truth : MultiPolygon
        Valid, in px, each with at least one part; holes and all parts count.

    Returns
    -------
    agreement : Agreement
        polis: PoLiS (Avbelj, Mueller and Bamler 2015, "A metric for polygon comparison and building
        extraction evaluation"): the mean distance of the vertices of one to the boundary of the
        other, averaged over both ways.
        boundary_f: harmonic mean of the shares of either boundary's length that lie within
        TOLERANCE of the other (Martin, Fowlkes and Malik 2004; of segmentations Csurka et al.
        2013), boundaries cut to pieces of at most STEP, each judged by its middle.
        c_iou: complexity-aware IoU (Zorzi, Bazrafkan, Habenschuss and Fraundorfer 2022,
        "PolyWorld"): IoU (1 - |N - M| / (N + M)), N and M being the numbers of vertices. Theirs is
        of all polygons of an image together, this of one pair.
    """
    boundaries = found.boundary, truth.boundary
    corners = [_vertices(one) for one in (found, truth)]
    ways = zip(corners, reversed(boundaries), strict=True)
    apart = [cast("np.ndarray", shapely.distance(points, other)).mean() for points, other in ways]
    polis = float(apart[0] + apart[1]) / 2
    precision, recall = (_share_near(one, other) for one, other in (boundaries, boundaries[::-1]))
    boundary_f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    count = [len(points) for points in corners]
    both = float(shapely.intersection(found, truth).area)
    iou = both / (found.area + truth.area - both)
    c_iou = iou * (1 - abs(count[0] - count[1]) / sum(count))
    return Agreement(polis, boundary_f, count[0], count[1], c_iou)


def agreements_of_image(
    pairs: list[tuple[str, str]], height: int, *, params: OutlinesParams
) -> list[Agreement]:
    """Draw and compare the polygons of one image.

    Parameters
    ----------
    pairs : list of (str, str)
        Counts of the compressed RLEs of a detection and of the object it has found.
    height : int
        Of the image, px.
    params : OutlinesParams
    """
    simplify, right_angles = params.simplify, params.right_angles
    drawn = (
        [
            object_outline(rle_runs(one), height, simplify=simplify, right_angles=right_angles)
            for one in pair
        ]
        for pair in pairs
    )
    return [outline_agreement(*pair) for pair in drawn]


def judge_outlines(
    images: list[ImageRecord],
    annotations: list[Annotation],
    predictions: list[Prediction],
    found: pd.DataFrame,
    params: EvaluateParams,
    outlines: OutlinesParams,
    workers: WorkersParams,
) -> pd.DataFrame:
    """Compare the outlines of accepted detections with those of the objects they have found.

    Parameters
    ----------
    images, annotations, predictions : list of ImageRecord, of Annotation, of Prediction
        That were judged.
    found : DataFrame
        detection, image_id, tp, accepted and truth_id of the judged detections, at IoU 0.5.
    params, outlines, workers : EvaluateParams, OutlinesParams, WorkersParams
        At most `params.outline_images` images are looked at, as a pair takes milliseconds.

    Returns
    -------
    table : DataFrame
        OUTLINE_COLUMNS: for each image looked at with such a pair how many there are, and sums
        over them of what `Agreement` has.
    """
    truth = {one["id"]: one["segmentation"] for one in annotations}
    records = {one["id"]: one for one in images}
    drawn = sorted(records)
    if 0 < params.outline_images < len(drawn):
        generator = np.random.default_rng(params.seed)
        drawn = generator.choice(drawn, params.outline_images, replace=False)
    kept = found[found["tp"].astype(bool) & found["accepted"].astype(bool)]
    kept = kept[kept["image_id"].isin(drawn)]
    by_image: dict[int, list[tuple[str, str]]] = {}
    rows = zip(kept["image_id"], kept["detection"], kept["truth_id"], strict=True)
    for image, detection, number in cast("Iterable[tuple[int, int, int]]", rows):
        pair = predictions[detection]["segmentation"], truth[number]
        by_image.setdefault(image, []).append((_counts(pair[0]), _counts(pair[1])))
    calls = ((pairs, records[image]["height"]) for image, pairs in by_image.items())
    memory = BYTES * largest((one["height"], one["width"]) for one in images)
    compared = in_order(
        agreements_of_image, calls, scheduler=workers.scheduler, memory=memory, params=outlines
    )
    compared = tqdm(compared, "outlines", total=len(by_image), unit="image", delay=2)
    told = [
        (records[image]["name"], len(of), *np.sum(of, axis=0).tolist())
        for image, of in zip(by_image, compared, strict=True)
    ]
    return pd.DataFrame(told, columns=pd.Index(OUTLINE_COLUMNS)).sort_values("name")


def outline_rows(
    split: str, sums: pd.DataFrame, images: pd.DataFrame, params: EvaluateParams
) -> list[dict[str, Any]]:
    """Tabulate the metrics of all pairs together, with intervals over groups of images.

    Parameters
    ----------
    split : str
    sums : DataFrame
        From `judge_outlines`.
    images : DataFrame
        name and group of every judged image; the draws are those of the other metrics.
    params : EvaluateParams

    Returns
    -------
    rows : list of dict
        split, images ("all"), metric, and value, low, high to 6 decimals: means over pairs of
        polis, boundary_f and c_iou; vertex_ratio, the vertices of all found polygons by those of
        their objects. None where there is no pair.
    """
    groups = np.unique(images["group"].to_numpy(str), return_inverse=True)[1]
    weights = group_weights(groups, params.resamples, params.seed)
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    filled = sums.set_index("name").reindex(images["name"]).fillna(0.0).astype(np.float64)
    drawn: dict[str, np.ndarray] = {}
    for column in OUTLINE_COLUMNS[1:]:
        by_group = np.bincount(groups, filled[column].to_numpy(), weights.shape[1])
        drawn[column] = np.einsum("rg,g->r", weights, by_group)
    rows: list[dict[str, Any]] = []
    for metric, (top, bottom) in OUTLINE_METRICS.items():
        values = np.full(len(weights), np.nan)
        np.divide(drawn[top], drawn[bottom], out=values, where=drawn[bottom] > 0)
        sampled = Sampled(float(values[0]), values[1:], weights.shape[1])
        low, high = interval(sampled, within=(0.0, MOST.get(metric, 1.0)))
        told = {"value": None if np.isnan(sampled.value) else sampled.value}
        told |= {"low": low, "high": high}
        rounded = {key: None if one is None else round(one, 6) for key, one in told.items()}
        rows.append({"split": split, "images": "all", "metric": metric} | rounded)
    return rows


def _vertices(polygon: MultiPolygon) -> Any:
    """Return the vertices of all rings as an array of points, each once."""
    rings = [ring for part in polygon.geoms for ring in (part.exterior, *part.interiors)]
    return shapely.points(np.concatenate([shapely.get_coordinates(ring)[:-1] for ring in rings]))


def _share_near(boundary: Any, other: Any) -> float:
    """Return the share of a boundary's length that is within TOLERANCE of another."""
    cut = shapely.get_parts(shapely.segmentize(boundary, STEP))
    ends = [shapely.get_coordinates(line) for line in cut]
    middles = np.concatenate([(line[1:] + line[:-1]) / 2 for line in ends])
    lengths = np.concatenate([np.hypot(*(line[1:] - line[:-1]).T) for line in ends])
    shapely.prepare(other)
    near = shapely.dwithin(other, shapely.points(middles), TOLERANCE)
    return float(lengths[near].sum() / lengths.sum())


def _counts(rle: Rle) -> str:
    counts = rle["counts"]
    return counts.decode() if isinstance(counts, bytes) else counts
