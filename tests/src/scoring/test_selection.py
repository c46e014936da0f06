import itertools

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from src.objects.rle import encode_instances
from src.scoring.selection import best_disjoint, suppress


def encode(masks):
    """RLEs and boxes of masks, bool (N, H, W)."""
    objects = [encode_instances(mask.astype(np.uint8)) for mask in masks]
    return [o.rles[0] for o in objects], np.concatenate([o.boxes for o in objects])


def suppress_masks(masks, scores, iou, groups=None):
    rles, boxes = encode(masks)
    groups = np.zeros(len(masks), np.int64) if groups is None else groups
    return suppress(groups, rles, boxes, scores, iou).tolist()


def slow_suppress(groups, masks, scores, iou):
    """Compare whole masks, one pair at a time."""
    kept = []
    for row in sorted(range(len(masks)), key=lambda row: -scores[row]):
        rivals = [masks[k] for k in kept if groups[k] == groups[row]]
        found = [(masks[row] & r).sum() / (masks[row] | r).sum() for r in rivals]
        if not any(value > iou for value in found):
            kept.append(row)
    return sorted(kept)


def nested_candidates(rng, images, layers):
    """Components of a random smooth map at several thresholds, and the image of each."""
    masks, groups = [], []
    for image in range(images):
        field = rng.random((9, 11)).repeat(4, axis=0).repeat(4, axis=1)
        field = field + rng.random(field.shape) / 4
        for threshold in np.linspace(0.2, 1.1, layers):
            for left in range(0, 44, 11):  # columns of the map stand in for components
                mask = field > threshold
                mask[:, :left] = mask[:, left + 11 + rng.integers(0, 9) :] = False
                if mask.any():
                    masks.append(mask)
                    groups.append(image)
    return np.array(masks), np.array(groups)


def row_masks(*spans):
    """Masks of one row of 100 px from (start, stop)."""
    masks = np.zeros((len(spans), 1, 100), bool)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[:, start:stop] = True
    return masks


def test_of_two_that_overlap_too_much_the_better_stays():
    masks = row_masks((0, 10), (0, 12), (50, 60))  # IoU 10 / 12
    assert suppress_masks(masks, [0.4, 0.9, 0.1], 0.5) == [1, 2]


def test_an_iou_of_exactly_the_limit_stays():
    masks = row_masks((0, 10), (0, 20))  # IoU 0.5
    assert suppress_masks(masks, [0.9, 0.8], 0.5) == [0, 1]
    assert suppress_masks(masks, [0.9, 0.8], 0.49) == [0]


def test_a_suppressed_candidate_suppresses_none():
    masks = row_masks((0, 10), (4, 14), (8, 18))  # neighbours share 6 of 14
    assert suppress_masks(masks, [0.9, 0.8, 0.7], 0.4) == [0, 2]


def test_of_equal_scores_the_first_row_stays():
    masks = row_masks((0, 10), (0, 11), (0, 12))
    assert suppress_masks(masks, [0.5, 0.5, 0.5], 0.5) == [0]
    assert suppress_masks(masks, [0.4, 0.5, 0.5], 0.5) == [1]


def test_boxes_that_cover_each_other_do_not_decide():
    frame = np.ones((1, 9, 9), bool)
    frame[0, 1:-1, 1:-1] = False
    inside = np.zeros((1, 9, 9), bool)
    inside[0, 1:-1, 1:-1] = True
    masks = np.concatenate([frame, inside])
    assert suppress_masks(masks, [0.9, 0.8], 0.0) == [0, 1]


def test_candidates_of_other_images_do_not_compete():
    masks = row_masks((0, 10), (0, 10), (0, 10))
    groups = np.array(["val/b", "val/a", "val/b"])
    assert suppress_masks(masks, [0.1, 0.2, 0.3], 0.5, groups) == [1, 2]


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_the_result_is_that_of_comparing_whole_masks(iou):
    rng = np.random.default_rng(int(10 * iou))
    masks, groups = nested_candidates(rng, images=3, layers=8)
    scores = rng.integers(0, 40, len(masks)) / 40  # with ties
    order = rng.permutation(len(masks))  # images are not in one piece
    masks, groups = masks[order], groups[order]
    kept = suppress_masks(masks, scores, iou, groups)
    assert kept == slow_suppress(groups, masks, scores, iou)
    assert iou == 1 or 2 < len(kept) < len(masks)


def test_no_candidates_one_and_none_left_over():
    none = suppress(np.empty(0), [], np.empty((0, 4)), np.empty(0), 0.5)
    assert none.tolist() == []
    assert none.dtype == np.int64
    assert suppress_masks(row_masks((3, 4)), [-2.0], 0.5) == [0]


def test_of_65000_equal_candidates_one_stays():
    rles, boxes = encode(row_masks((0, 10)))
    count = 65_000
    scores = np.full(count, 0.5)
    scores[777] = 0.6
    groups, boxes = np.zeros(count), np.repeat(boxes, count, axis=0)
    kept = suppress(groups, rles * count, boxes, scores, 0.5)
    assert kept.tolist() == [777]
    assert kept.dtype == np.int64
    assert suppress(groups, rles * count, boxes, scores, 1.0).tolist() == list(range(count))


def test_of_many_apart_each_stays():
    side, count = 128, 128**2
    y, x = np.divmod(np.arange(count), side)
    boxes = np.stack([4 * x, 4 * y, np.full(count, 3), np.full(count, 3)], axis=1)
    rles = coco_mask.frPyObjects(boxes.astype(float), 4 * side, 4 * side)
    kept = suppress(np.arange(count) // 650, rles, boxes, np.ones(count), 0.0)
    assert kept.tolist() == list(range(count))


@pytest.mark.parametrize("change", [{"scores": [0.5]}, {"scores": [0.5, np.nan]}, {"iou": 1.1}])
def test_suppression_refuses_what_makes_no_sense(change):
    rles, boxes = encode(row_masks((0, 10), (20, 30)))
    given = {"groups": [0, 0], "rles": rles, "boxes": boxes, "scores": [0.1, 0.2], "iou": 0.5}
    with pytest.raises(ValueError, match="differ in length|must be finite"):
        suppress(**(given | change))


# best_disjoint


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.9, 0.6, 0.6], [0]),  # one surely right beats two perhaps right
        ([0.6, 0.9, 0.9], [1, 2]),
        ([0.75, 0.625, 0.625], [0]),  # 0.25 = 0.125 + 0.125: a tie goes to the parent
        ([0.7, 0.95, 0.1], [1, 2]),  # the sibling of a chosen one is not lost
        ([0.75, 0.4, 0.4], [0]),  # a plain sum of scores would split it
        ([0.3, 0.2, 0.2], [0]),  # all below the cost: the best of the tree
        ([0.3, 0.4, 0.1], [1, 2]),
        ([0.5, 0.5, 0.5], [0]),
        ([0.0, 0.0, 0.0], [0]),
        ([1.0, 1.0, 1.0], [1, 2]),
    ],
)
def test_a_parent_or_its_two_children(scores, kept):
    assert best_disjoint(np.array([-1, 0, 0]), np.array(scores)).tolist() == kept
    turned = best_disjoint(np.array([2, 2, -1]), np.array([*scores[1:], scores[0]]))
    assert turned.tolist() == ([2] if kept == [0] else [0, 1])


def test_the_cost_moves_the_balance():
    parent, scores = np.array([-1, 0, 0]), np.array([0.9, 0.6, 0.6])
    assert best_disjoint(parent, scores, cost=0.25).tolist() == [1, 2]


def ancestors(parent, row):
    while parent[row] >= 0:
        row = parent[row]
        yield row


def all_disjoint_sets(parent):
    rows = range(len(parent))
    related = {frozenset((row, up)) for row in rows for up in ancestors(parent, row)}
    for size in range(len(parent) + 1):
        for chosen in itertools.combinations(rows, size):
            if not any(frozenset(pair) in related for pair in itertools.combinations(chosen, 2)):
                yield chosen


@pytest.mark.parametrize("seed", range(60))
def test_no_disjoint_set_has_a_larger_sum(seed):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 10)
    parent = np.array([rng.integers(-1, row) if row else -1 for row in range(count)])
    scores = rng.random(count) ** (0.4 if seed % 2 else 1)
    order = rng.permutation(count)  # a parent may come after its children
    parent = np.where(parent[order] < 0, -1, np.argsort(order)[parent[order]])
    kept = best_disjoint(parent, scores).tolist()
    sets = list(all_disjoint_sets(parent))
    gains = np.maximum(scores - 0.5, 0)
    assert tuple(kept) in sets
    assert gains[kept].sum() == pytest.approx(max(gains[list(chosen)].sum() for chosen in sets))
    free = [r for r in range(count) if {r, *ancestors(parent, r)}.isdisjoint(kept)]
    free = [r for r in free if not any(r in ancestors(parent, k) for k in kept)]
    assert free == []  # nothing could be added


def greedy(parent, scores):
    """Take the best, drop all that contain it or lie inside it, and so on."""
    left, kept = set(range(len(parent))), []
    while left:
        best = max(left, key=lambda row: (scores[row], -row))
        kept.append(best)
        left -= {best, *ancestors(parent, best)}
        left -= {row for row in left if best in ancestors(parent, row)}
    return sorted(kept)


@pytest.mark.parametrize("seed", range(20))
def test_below_the_cost_the_best_score_decides(seed):
    rng = np.random.default_rng(seed)
    parent = np.array([rng.integers(-1, row) if row else -1 for row in range(12)])
    scores = rng.random(12) / 2
    assert best_disjoint(parent, scores).tolist() == greedy(parent, scores)


def test_a_chain_of_100000_keeps_its_best():
    scores = np.linspace(0, 0.8, 100_000)
    scores[1234] = 0.95
    assert best_disjoint(np.arange(100_000) - 1, scores).tolist() == [1234]


def test_of_no_candidates_none_and_of_separate_ones_all_are_kept():
    none = best_disjoint(np.empty(0, np.int64), np.empty(0))
    assert none.tolist() == []
    assert none.dtype == np.int64
    assert best_disjoint(np.full(3, -1), np.array([0.0, 1.0, 0.2])).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("parent", "scores", "words"),
    [
        ([1, 0], [0.5, 0.5], "circle"),
        ([0], [0.5], "circle"),
        ([-1, 2], [0.5, 0.5], "parent that is a row"),
        ([-2], [0.5], "parent that is a row"),
        ([-1], [0.5, 0.5], "parent that is a row"),
        ([-1], [2.4], "in \\[0, 1\\]"),
        ([-1], [np.nan], "in \\[0, 1\\]"),
    ],
)
def test_a_forest_that_is_none_is_refused(parent, scores, words):
    with pytest.raises(ValueError, match=words):
        best_disjoint(np.array(parent), np.array(scores))
