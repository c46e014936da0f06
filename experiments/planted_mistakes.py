"""Copy a data set with mistakes planted in its training annotations, and tell how many are found.

    python -m experiments.planted_mistakes data/sample data/raw/spoilt --share 0.05 --seed 0
    python -m experiments.planted_mistakes data/raw/spoilt --judge data/label_errors

Reads  a data set in COCO's layout (docs/data.md); to judge, what find_label_errors found in it
Writes the copy, its files linked rather than copied where the disk can; train/annotation.json has
       the mistakes, planted.csv tells them: image,object_id,kind,left,top,width,height

To measure find_label_errors, set dataset.root to the copy, run the pipeline (in a clone of the
repository, so that nothing else changes) and judge: of the first N it lists, N being the number
planted, how many are planted. The images of val and test stay as they are.
"""

import argparse
import copy
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from pycocotools import mask as coco_mask

from src.base.errors import InputError
from src.base.files import new_folder, read_json
from src.formats.tables import read_table, write_table

KINDS = ("shifted", "dropped", "added")
SHIFT = 0.5  # of the sides of the object's box
TRIES = 200  # places tried for an object that is added
BOX = ("left", "top", "width", "height")
COLUMNS = ("image", "object_id", "kind", *BOX)
NEAR = 0.1  # IoU of two boxes from which what is listed is what was planted


class Planted(NamedTuple):
    """One mistake: what is wrong and where."""

    image_id: int
    object_id: int  # of the annotation, of what was dropped the one it had
    kind: str  # one of KINDS
    box: tuple[int, int, int, int]  # XYWH in px, of the object as it is annotated or was


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", type=Path, help="a data set in COCO's layout")
    parser.add_argument("copy", type=Path, nargs="?", help="folder to write")
    parser.add_argument("--share", type=float, default=0.05, help="of the objects (default: 0.05)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="of find_label_errors")
    args = parser.parse_args(argv)
    if (args.judge is None) == (args.copy is None):
        raise InputError("give either a folder to write or --judge with one of find_label_errors")
    if args.judge is not None:
        listed = read_table(args.judge / "objects.csv", "find_label_errors", LISTED_TYPES)
        planted = read_table(args.data / "planted.csv", "planted_mistakes", PLANTED_TYPES)
        print(told(judge(listed, planted)), end="")
        return
    document = cast("dict[str, Any]", read_json(args.data / "train/annotation.json"))
    spoilt, planted = plant(document, args.share, args.seed)
    _write(args.data, args.copy, spoilt, planted)
    print(f"{len(planted)} mistakes in {len(document['annotations'])} objects -> {args.copy}")


def plant(
    document: dict[str, Any], share: float, seed: int
) -> tuple[dict[str, Any], list[Planted]]:
    """Plant mistakes in annotations: a third of the objects chosen each way, as far as it divides.

    Parameters
    ----------
    document : dict
        COCO: images, annotations. Crowds are left alone. It is not changed.
    share : float
        Mistakes as a part of the objects, above 0 and at most 0.5.
    seed : int
        Of all that is drawn.

    Returns
    -------
    spoilt : dict
        The document with these annotations changed: `shifted` by SHIFT of the box's sides in one of
        eight directions that stays inside the image; `dropped` ones absent; `added` ones, outlines
        of other objects of the same data where their box meets no other. What is shifted or added
        is a compressed RLE.
    planted : list of Planted
        By image and object.

    Raises
    ------
    InputError
        If the share is out of range, or there are too few objects that can be shifted or places to
        add one.
    """
    if not 0 < share <= 0.5:
        raise InputError(f"--share {share:g}: must lie above 0 and be at most 0.5")
    rng = np.random.default_rng(seed)
    spoilt = copy.deepcopy(document)
    sizes = {image["id"]: (image["height"], image["width"]) for image in spoilt["images"]}
    objects = [one for one in spoilt["annotations"] if not one.get("iscrowd")]
    masks = {one["id"]: _mask(one["segmentation"], *sizes[one["image_id"]]) for one in objects}
    order = [one for one in (objects[i] for i in rng.permutation(len(objects))) if _box(masks, one)]
    count = round(share * len(objects))
    wanted = {kind: len(range(place, count, 3)) for place, kind in enumerate(KINDS)}
    movable = [one for one in order if _shifts(_box(masks, one), sizes[one["image_id"]])]
    if len(movable) < wanted["shifted"] or not order:
        raise InputError(f"only {len(movable)} objects can be shifted inside their image")
    shifted = movable[: wanted["shifted"]]
    chosen = {one["id"] for one in shifted}
    rest = [one for one in order if one["id"] not in chosen]
    dropped = rest[: wanted["dropped"]]
    planted = [Planted(one["image_id"], one["id"], "dropped", _box(masks, one)) for one in dropped]
    for one in shifted:
        ways = _shifts(_box(masks, one), sizes[one["image_id"]])
        moved = _moved(masks[one["id"]], *ways[int(rng.integers(len(ways)))])
        planted.append(_annotate(one, moved, "shifted"))
    gone = {one["id"] for one in dropped}
    kept = [one for one in spoilt["annotations"] if one["id"] not in gone]
    taken = {image: np.zeros(size, bool) for image, size in sizes.items()}
    for one in document["annotations"]:  # where objects stand, though they are shifted or dropped
        taken[one["image_id"]] |= _mask(one["segmentation"], *sizes[one["image_id"]])
    for one in shifted:
        taken[one["image_id"]] |= _mask(one["segmentation"], *sizes[one["image_id"]])
    free = max(one["id"] for one in spoilt["annotations"]) + 1
    added = _add(rest[wanted["dropped"] :], free, masks, taken, wanted["added"], rng)
    spoilt["annotations"] = kept + [one for one, _ in added]
    return spoilt, sorted(planted + [record for _, record in added])


def judge(listed: pd.DataFrame, planted: pd.DataFrame) -> dict[str, float]:
    """Tell how many of the first N listed objects were planted, N being the number planted.

    Parameters
    ----------
    listed : DataFrame
        image, left, top, width, height, the most suspicious first.
    planted : DataFrame
        image, kind, left, top, width, height.

    Returns
    -------
    shares : dict
        `precision`: of the first N rows, those in the image of a mistake whose box overlaps that of
        the mistake by an IoU of NEAR or more, each mistake counted once. `recall_<kind>`: of the
        mistakes of a kind, those found among these N. `images`: of the first images listed, as many
        as have a mistake, the share that has one. NaN where nothing was planted.
    """
    count = len(planted)
    first = listed.iloc[:count]
    boxes = planted[list(BOX)].to_numpy(float)
    left = {name: list(rows) for name, rows in planted.groupby("image").indices.items()}
    hits = []
    for row in first.to_dict("records"):
        rivals = left.get(row["image"], [])
        ious = [_box_iou(np.array([row[key] for key in BOX]), boxes[place]) for place in rivals]
        if ious and max(ious) >= NEAR:
            hits.append(rivals.pop(int(np.argmax(ious))))
    kinds = planted["kind"].iloc[hits].value_counts()
    found = {
        f"recall_{kind}": kinds.get(kind, 0) / number
        for kind, number in planted["kind"].value_counts().items()
    }
    spoilt = set(planted["image"])
    images = list(dict.fromkeys(listed["image"]))[: len(spoilt)]
    of_images = sum(name in spoilt for name in images) / len(spoilt) if spoilt else math.nan
    precision = len(hits) / count if count else math.nan
    return {"precision": precision, **found, "images": of_images}


def told(shares: dict[str, float]) -> str:
    """Return the shares one a line."""
    return "".join(f"{name} {share:.3f}\n" for name, share in shares.items())


LISTED_TYPES: dict[str, type] = {"image": str, **dict.fromkeys(BOX, float)}
PLANTED_TYPES: dict[str, type] = {**LISTED_TYPES, "kind": str}


def _add(
    patterns: Sequence[dict],
    free: int,
    masks: dict[int, np.ndarray],
    taken: dict[int, np.ndarray],
    count: int,
    rng: np.random.Generator,
) -> list[tuple[dict, Planted]]:
    """Put copies of outlines where nothing is taken; their ids count from the first free one."""
    images = sorted(taken)
    added: list[tuple[dict, Planted]] = []
    for one in patterns:
        if len(added) == count:
            break
        left, top, width, height = _box(masks, one)
        shape = masks[one["id"]][top : top + height, left : left + width]
        for _ in range(TRIES):
            image = images[int(rng.integers(len(images)))]
            room = taken[image].shape[1] - width, taken[image].shape[0] - height
            if min(room) < 0:
                continue
            x, y = (int(rng.integers(most + 1)) for most in room)
            if not taken[image][y : y + height, x : x + width].any():
                mask = np.zeros(taken[image].shape, bool)
                mask[y : y + height, x : x + width] = shape
                taken[image] |= mask
                twin = one | {"id": free + len(added), "image_id": image}
                added.append((twin, _annotate(twin, mask, "added")))
                break
    if len(added) < count:
        raise InputError(f"there is room for {len(added)} objects to add, {count} are asked for")
    return added


def _shifts(box: tuple[int, int, int, int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the shifts (x, y) in px that keep a box inside an image (H, W)."""
    left, top, width, height = box
    steps = [max(round(SHIFT * side), 2) for side in (width, height)]
    ways = [(x * steps[0], y * steps[1]) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    return [
        (x, y)
        for x, y in ways
        if 0 <= left + x <= size[1] - width and 0 <= top + y <= size[0] - height
    ]


def _moved(mask: np.ndarray, x: int, y: int) -> np.ndarray:
    return np.roll(mask, (y, x), axis=(0, 1))  # nothing goes over the edge


def _annotate(annotation: dict, mask: np.ndarray, kind: str) -> Planted:
    """Give an annotation another mask, and tell of it."""
    rle = cast("dict[str, Any]", coco_mask.encode(np.asfortranarray(mask, np.uint8)))
    box = _box_of(mask)
    annotation |= {
        "segmentation": rle | {"counts": rle["counts"].decode()},
        "area": float(mask.sum()),
        "bbox": [float(side) for side in box],
    }
    return Planted(annotation["image_id"], annotation["id"], kind, box)


def _mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        return coco_mask.decode(cast("Any", segmentation)).astype(bool)
    if not segmentation:
        return np.zeros((height, width), bool)
    rles = coco_mask.frPyObjects(cast("Any", segmentation), height, width)
    rle = coco_mask.merge(rles) if isinstance(rles, list) else rles
    return coco_mask.decode(cast("Any", rle)).astype(bool)


def _box(masks: dict[int, np.ndarray], annotation: dict) -> tuple[int, int, int, int]:
    return _box_of(masks[annotation["id"]])


def _box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return XYWH in px of a mask that has a pixel; () else."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return ()  # pyright: ignore[reportReturnType]  told from boxes by its truth
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def _box_iou(one: np.ndarray, other: np.ndarray) -> float:
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    both = float(np.prod(np.maximum(high - low, 0)))
    return both / (float(np.prod(one[2:]) + np.prod(other[2:])) - both)


def _write(data: Path, folder: Path, spoilt: dict, planted: list[Planted]) -> None:
    if folder.exists():
        raise InputError(f"{folder}: exists already; remove it to plant mistakes anew")
    name_of = {one["id"]: f"train/{Path(one['file_name']).stem}" for one in spoilt["images"]}
    rows = [(name_of[one.image_id], one.object_id, one.kind, *one.box) for one in planted]
    with new_folder(folder) as partial:
        shutil.copytree(data, partial, dirs_exist_ok=True, copy_function=_link)
        path = partial / "train/annotation.json"
        path.unlink()  # it is a link
        path.write_text(json.dumps(spoilt), encoding="utf-8")
        write_table(partial / "planted.csv", pd.DataFrame(rows, columns=pd.Index(COLUMNS)))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
