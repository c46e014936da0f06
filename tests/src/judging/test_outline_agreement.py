import numpy as np
import pandas as pd
import pytest
import shapely
from pycocotools import mask as coco_mask
from shapely import MultiPolygon, Polygon

from src.judging.outline_agreement import (
    OUTLINE_COLUMNS,
    TOLERANCE,
    Agreement,
    judge_outlines,
    outline_agreement,
    outline_rows,
)
from src.judging.params import EvaluateParams
from src.outlines.params import OutlinesParams
from src.parallel.workers import WorkersParams

EXACT = OutlinesParams(simplify=0.0, right_angles=False)
HERE = WorkersParams(scheduler="none")


def box(left, top, right, bottom):
    return MultiPolygon([shapely.box(left, top, right, bottom)])


def test_equal_polygons_agree_wholly():
    ring = MultiPolygon([Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(3, 3), (3, 6), (6, 6)]])])
    assert outline_agreement(ring, ring) == Agreement(0.0, 1.0, 7, 7, 1.0)


def test_a_shifted_square():
    """Two corners of each lie on the other's boundary, two are 1 px from it; IoU 12 / 20."""
    agreement = outline_agreement(box(1, 0, 5, 4), box(0, 0, 4, 4))
    assert agreement == Agreement(0.5, 1.0, 4, 4, pytest.approx(12 / 20))


def test_a_corner_on_an_edge_costs_complexity_alone():
    found = MultiPolygon([Polygon([(0, 0), (2, 0), (4, 0), (4, 4), (0, 4)])])
    assert outline_agreement(found, box(0, 0, 4, 4)) == Agreement(
        0.0, 1.0, 5, 4, pytest.approx(1 - 1 / 9)
    )


@pytest.mark.parametrize("corners", [2, 101])
def test_the_f_score_weighs_the_length_that_is_near(corners):
    """The half of a tall box: of its 40 px 34 are near the other, of whose 60 px 34 are near it."""
    floor = [(x, 0) for x in np.linspace(0, 10, corners)]
    half = MultiPolygon([Polygon([*floor, (10, 10), (0, 10)])])
    agreement = outline_agreement(half, box(0, 0, 10, 20))
    precision, recall = 34 / 40, 34 / 60
    assert agreement.boundary_f == pytest.approx(2 * precision * recall / (precision + recall))
    if corners == 2:
        assert agreement.polis == pytest.approx((0 + (0 + 0 + 10 + 10) / 4) / 2)


def test_outlines_that_are_nowhere_near_have_no_f_score():
    assert outline_agreement(box(0, 0, 30, 30), box(10, 10, 20, 20)).boundary_f == 0


def test_it_is_what_point_by_point_says():
    rng = np.random.default_rng(5)
    for _ in range(5):
        found, truth = _blob(rng), _blob(rng)
        agreement = outline_agreement(found, truth)
        expected = plainly(found, truth)
        assert agreement.polis == pytest.approx(expected[0])
        assert agreement.boundary_f == pytest.approx(expected[1], abs=0.02)  # of the steps
        assert (agreement.vertices, agreement.truth_vertices) == expected[2:4]
        assert agreement.c_iou == pytest.approx(expected[4], abs=0.02)  # of the pixels


def _blob(rng):
    """A star around the middle, with a hole, and a part of its own beside it."""
    angles = np.linspace(0, 2 * np.pi, int(rng.integers(6, 14)), endpoint=False)
    radius = rng.uniform(12, 20, len(angles))
    shell = np.stack([25 + radius * np.cos(angles), 25 + radius * np.sin(angles)], axis=1)
    hole = [(22, 22), (22, 27), (27, 26)]
    left = float(rng.uniform(46, 48))
    return MultiPolygon([Polygon(shell, [hole]), shapely.box(left, 20, 55, 30)])


def plainly(found, truth):
    """The same by distances of points to all edges, and by small pixels."""

    def edges(polygon):
        rings = [r for part in polygon.geoms for r in (part.exterior, *part.interiors)]
        corners = [np.array(ring.coords) for ring in rings]
        return np.concatenate([np.stack([one[:-1], one[1:]], axis=1) for one in corners])

    def distances(points, polygon):
        start, run = edges(polygon)[:, 0], np.diff(edges(polygon), axis=1)[:, 0]
        away = points[:, None] - start
        along = np.clip((away * run).sum(axis=2) / (run**2).sum(axis=1), 0, 1)
        return np.linalg.norm(away - along[..., None] * run, axis=2).min(axis=1)

    def share_near(one, other):
        places = (np.arange(200) + 0.5) / 200
        start, run = edges(one)[:, :1], np.diff(edges(one), axis=1)
        points = (start + places[:, None] * run).reshape(-1, 2)
        length = np.repeat(np.linalg.norm(run[:, 0], axis=1), 200)
        return length[distances(points, other) <= TOLERANCE].sum() / length.sum()

    corners = [edges(one)[:, 0] for one in (found, truth)]
    ways = [distances(corners[0], truth).mean(), distances(corners[1], found).mean()]
    shares = share_near(found, truth), share_near(truth, found)
    y, x = np.mgrid[0:300, 0:300] / 5 + 0.1
    one, other = (shapely.contains_xy(polygon, x, y) for polygon in (found, truth))
    count = [len(points) for points in corners]
    complexity = 1 - abs(count[0] - count[1]) / sum(count)
    iou = (one & other).sum() / (one | other).sum()
    return (
        sum(ways) / 2,
        2 * shares[0] * shares[1] / sum(shares),
        *count,
        iou * complexity,
    )


def rle(left, top, width, height):
    mask = np.zeros((40, 50), np.uint8, order="F")
    mask[top : top + height, left : left + width] = 1
    encoded = coco_mask.encode(mask)
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


IMAGES = [{"id": n, "name": name, "height": 40, "width": 50} for n, name in ((1, "b"), (2, "a"))]
ANNOTATIONS = [
    {"id": 7, "image_id": 1, "segmentation": rle(0, 0, 4, 4)},
    {"id": 8, "image_id": 1, "segmentation": rle(20, 20, 8, 8)},
    {"id": 9, "image_id": 2, "segmentation": rle(3, 3, 6, 6)},
]
PREDICTIONS = [
    {"segmentation": rle(20, 20, 8, 8)},
    {"segmentation": rle(1, 0, 4, 4)},
    {"segmentation": rle(3, 3, 6, 6)},
    {"segmentation": rle(30, 0, 6, 6)},
]
FOUND = pd.DataFrame(
    {
        "detection": [0, 1, 2, 3],
        "image_id": [1, 1, 2, 2],
        "tp": [True, True, True, False],
        "accepted": [True, True, False, True],
        "truth_id": [8, 7, 9, -1],
    }
)


PARAMS = EvaluateParams(max_detections=100, resamples=200, outline_images=0, seed=0)


def judged(found, params=PARAMS):
    return judge_outlines(IMAGES, ANNOTATIONS, PREDICTIONS, found, params, EXACT, HERE)


def test_accepted_detections_are_compared_with_what_they_found():
    table = judged(FOUND)
    assert table.columns.tolist() == [*OUTLINE_COLUMNS]
    assert table.to_numpy().tolist() == [["b", 2, 0.5, 2.0, 8.0, 8.0, pytest.approx(1.6)]]
    both = judged(FOUND.assign(accepted=True))
    assert both["name"].tolist() == ["a", "b"]
    assert both.iloc[0].tolist() == ["a", 1, 0.0, 1.0, 4.0, 4.0, 1.0]


def test_of_many_images_some_are_looked_at():
    all_pairs = FOUND.assign(accepted=True)
    one = PARAMS.model_copy(update={"outline_images": 1})
    looked_at = {
        judged(all_pairs, one.model_copy(update={"seed": seed}))["name"].item() for seed in range(9)
    }
    assert looked_at == {"a", "b"}
    two = PARAMS.model_copy(update={"outline_images": 2})
    assert judged(all_pairs, two)["name"].tolist() == ["a", "b"]


def test_the_drawing_of_outlines_is_obeyed():
    mask = np.tri(40, 50, dtype=np.uint8)
    encoded = coco_mask.encode(np.asfortranarray(mask))
    slope = {"size": [40, 50], "counts": encoded["counts"].decode()}
    annotations = [{"id": 7, "image_id": 1, "segmentation": slope}]
    found = FOUND.iloc[[0]].assign(truth_id=7)
    corners = []
    for simplify in (0.0, 1.0):
        params = OutlinesParams(simplify=simplify, right_angles=False)
        given = [{"segmentation": slope}], found, PARAMS, params, HERE
        corners.append(judge_outlines(IMAGES, annotations, *given)["vertices"][0])
    assert corners[0] == 82  # two of each of 40 steps, and the ends of the left side
    assert corners[1] < 8


SUMS = pd.DataFrame(
    [("a", 1, 3.0, 1.0, 6.0, 4.0, 0.5), ("c", 3, 1.0, 2.0, 10.0, 12.0, 2.5)],
    columns=[*OUTLINE_COLUMNS],
)
GROUPED = pd.DataFrame({"name": ["a", "b", "c", "d"], "group": ["g", "h", "i", "k"]})


def test_metrics_are_means_over_all_pairs_and_ratios_of_sums():
    rows = outline_rows("val", SUMS, GROUPED, PARAMS)
    assert [(row["split"], row["images"], row["metric"], row["value"]) for row in rows] == [
        ("val", "all", "polis", 1.0),
        ("val", "all", "boundary_f", 0.75),
        ("val", "all", "vertex_ratio", 1.0),
        ("val", "all", "c_iou", 0.75),
    ]
    polis, boundary_f, ratio, c_iou = ((row["low"], row["high"]) for row in rows)
    assert polis[0] < 1 < 2 < polis[1]  # not cut at 1
    assert ratio[0] < 1 < ratio[1]
    assert boundary_f[1] == 1.0
    assert 2.5 / 3 < c_iou[1] < 1


def test_images_of_a_group_are_drawn_together():
    together = GROUPED.assign(group=["g", "h", "g", "k"])
    low, high = (
        {row["metric"]: row[bound] for row in outline_rows("val", SUMS, together, PARAMS)}
        for bound in ("low", "high")
    )
    assert (low["polis"], high["polis"]) == (1.0, 1.0)


def test_without_a_pair_nothing_is_told():
    rows = outline_rows("oof", judged(FOUND.iloc[:0]), GROUPED, PARAMS)
    assert [(row["value"], row["low"], row["high"]) for row in rows] == [(None, None, None)] * 4
