"""The candidates of an image found layer by layer and measured object by object, with masks."""

from itertools import pairwise
from typing import Any, cast

import numpy as np
from pycocotools import mask as coco_mask

from src.objects.map_objects import find_objects


def plain_candidates(maps, spreads, params):
    """Return what `image_candidates` returns with the method layers, bit for bit."""
    layers = [masks_at(maps, params, "threshold", threshold) for threshold in params.layers]
    rows, parts, positions, below = [], [], [], []
    for place, masks in enumerate(layers):
        links = [link(mask, below) for mask in masks]
        up = [link(mask, layers[place + 1])[1] for mask in masks] if place < len(layers) - 1 else []
        fixed = {"threshold": params.layers[place], "part": 0.0}
        here = []
        for number, (mask, (around, iou)) in enumerate(zip(masks, links, strict=True)):
            parent = positions[around] if around >= 0 else -1
            here.append(parent if iou == 1 else len(rows))
            if iou < 1:
                row = {"parent": parent, "stability_down": iou, **fixed}
                row |= {"stability_up": up[number] if up else 0.0}
                rows.append(row | measures(mask, masks, number, maps["mask"], spreads))
        positions, below = here, masks
        if params.seeds != "mask" and place % 2 == 0:
            pieces = masks_at(maps, params, "watershed", params.layers[place])
            for number, mask in enumerate(pieces):
                around, iou = link(mask, masks)
                if iou < 1:
                    row = {"parent": positions[around] if around >= 0 else -1, **fixed, "part": 1.0}
                    row |= {"stability_up": iou, "stability_down": iou}
                    parts.append(row | measures(mask, pieces, number, maps["mask"], spreads))
    return rows + parts


def masks_at(maps, params, method, threshold):
    changed = params.model_copy(update={"method": method, "threshold": threshold})
    instances = find_objects(maps, 0.0, changed)
    return [instances == label for label in range(1, instances.max() + 1)]


def link(mask, others):
    """Return number and IoU of the mask that shares most pixels; -1 and 0 of none."""
    shared = [int((mask & other).sum()) for other in others]
    if not any(shared):
        return -1, 0.0
    best = int(np.argmax(shared))
    return best, shared[best] / int((mask | others[best]).sum())


def measures(mask, masks, number, probability, spreads):
    inside = probability[mask].astype(np.int64)
    area, mean = len(inside), inside.sum() / len(inside)
    variance = (inside * inside).sum() / area - mean * mean
    ring = probability[ring_of(masks, number)].astype(np.int64)
    left, top, right, bottom = box_of(mask)
    width, height = right - left, bottom - top
    framed = np.pad(mask, 1).astype(int)
    sides = np.abs(np.diff(framed)).sum() + np.abs(np.diff(framed, axis=0)).sum()
    edges = left, top, mask.shape[1] - right, mask.shape[0] - bottom
    rle = cast("Any", coco_mask.encode(np.asfortranarray(mask.view(np.uint8))))
    found = {"counts": rle["counts"].decode(), "area": area, "perimeter": sides}
    found |= {"bbox_x": left, "bbox_y": top, "bbox_width": width, "bbox_height": height}
    found |= {"mean_probability": mean / 255, "max_probability": inside.max() / 255}
    found |= {"min_probability": inside.min() / 255}
    found |= {"std_probability": np.sqrt(max(variance, 0)) / 255}
    found |= {"ring_contrast": (mean - ring.sum() / len(ring)) / 255 if len(ring) else 0.0}
    found |= {"aspect": max(width, height) / min(width, height), "fill": area / (width * height)}
    found |= {"solidity": area / hull_area(mask), "eccentricity": eccentricity(mask)}
    found |= {"edge_distance": min(edges)} | neighbours(masks, number)
    for name in ("view_spread", "member_spread"):
        spread = spreads.get(name)
        found[name] = 0.0 if spread is None else int(spread[mask].sum()) / area / 510
    return found


def ring_of(masks, number):
    labels = sum((place + 1) * mask.astype(int) for place, mask in enumerate(masks))
    grown = np.pad(labels, 1)
    for _ in range(3):
        shifted = [np.roll(grown, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        grown = np.where(grown, grown, np.max(shifted, axis=0))
        grown[[0, -1]] = grown[:, [0, -1]] = 0
    return (grown[1:-1, 1:-1] == number + 1) & (labels == 0)


def box_of(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def hull_area(mask):
    """Return half the sum over the hull of the corners of pixels, by Andrew's monotone chain."""
    corners = {
        (x + i, y + j) for y, x in np.argwhere(mask).tolist() for i in (0, 1) for j in (0, 1)
    }
    hull = []
    for points in (sorted(corners), sorted(corners, reverse=True)):
        chain = []
        for point in points:
            while len(chain) > 1 and turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        hull += chain[:-1]
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise([*hull, hull[0]])) / 2


def turn(one, two, three):
    first, second = (two[0] - one[0], two[1] - one[1]), (three[0] - one[0], three[1] - one[1])
    return first[0] * second[1] - first[1] * second[0]


def eccentricity(mask):
    """By the runs of rows, since the order of a sum decides its last bits."""
    changes = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(int))
    row, left = np.nonzero(changes == 1)
    right = np.nonzero(changes == -1)[1]
    length, middle, area = right - left, (left + right) / 2, mask.sum()
    from_x, from_y = middle - total(length * middle) / area, row - total(length * row) / area
    xx = total(length * (from_x**2 + length**2 / 12)) / area
    yy = total(length * (from_y**2 + 1 / 12)) / area
    root = np.hypot((xx - yy) / 2, total(length * from_x * from_y) / area)
    return np.sqrt(2 * root / ((xx + yy) / 2 + root))


def total(values):
    return np.add.reduceat(values, [0])[0]


def neighbours(masks, number):
    left, top, right, bottom = box_of(masks[number])
    gaps, areas = [], []
    for place, mask in enumerate(masks):
        if place != number:
            x, y, x_end, y_end = box_of(mask)
            across, down = max(x - right, left - x_end, 0), max(y - bottom, top - y_end, 0)
            gaps.append(np.sqrt(across * across + down * down))
            areas.append(int(mask.sum()))
    near = [area for gap, area in zip(gaps, areas, strict=True) if gap <= 10]
    nearest = min(gaps, default=np.hypot(*masks[number].shape))
    return {
        "neighbours": len(near),
        "neighbour_distance": nearest,
        "neighbour_area": max(near, default=0),
    }
