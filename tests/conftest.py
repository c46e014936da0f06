"""A builder of small datasets in the CrowdAI layout; no worker processes in tests."""

import json
import logging
import signal
from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
from pycocotools import mask as coco_mask

# Shells start what runs in the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Begin with the file that takes longest, so that no core waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


@pytest.fixture(autouse=True)
def _in_process():
    """No worker processes, which take longer to start than most tests."""
    with joblib.parallel_config(backend="sequential"):
        yield


@pytest.fixture(scope="session")
def dask_scheduler():
    """Address of a Dask scheduler with two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "processes": True}
    with distributed.LocalCluster(n_workers=2, **options) as cluster:
        cluster.wait_for_workers(2)
        yield cluster.scheduler_address


@pytest.fixture
def write_crowdai():
    """Function (root, train, val, test, category_id, name) that writes a dataset; see there."""
    return _write_crowdai


def _write_crowdai(
    root: Path, train, val=None, test=None, *, category_id: int = 100, name: str = "building"
) -> Path:
    """Write train/, val/ and test_images/ under `root` and return `root`.

    `train` and `val` are lists of (file_name, image, annotations) or of the same with a dict of
    further keys of the image's record at the end ("group", "id", another "height", ...). The image
    is an array (RGB or grey, written as its extension says), the bytes of a file, or None for a
    file that is absent. An annotation is a mask, bool (H, W), or a dict of its keys; id, image_id,
    category_id and iscrowd are filled in. `test` is a list of (file_name, image).
    """
    for split, items in (("train", train), ("val", val)):
        if items is not None:
            document = _document(items, category_id, name)
            _write_images(root / split / "images", items)
            (root / split / "annotation.json").write_text(json.dumps(document))
    if test is not None:
        _write_images(root / "test_images", test)
    return root


def _document(items, category_id: int, name: str) -> dict:
    images, annotations = [], []
    for image_id, (file_name, image, objects, *extra) in enumerate(items, start=1):
        size = image.shape[:2] if isinstance(image, np.ndarray) else (1, 1)
        record = {"id": image_id, "file_name": file_name, "height": size[0], "width": size[1]}
        images.append(record | (extra[0] if extra else {}))
        for annotation in objects:
            if isinstance(annotation, np.ndarray):
                rle = coco_mask.encode(np.asfortranarray(annotation, np.uint8))
                annotation = {"segmentation": rle | {"counts": rle["counts"].decode()}}
            filled = {"id": len(annotations) + 1, "image_id": images[-1]["id"], "iscrowd": 0}
            annotations.append(filled | {"category_id": category_id} | annotation)
    categories = [{"id": category_id, "name": name}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _write_images(folder: Path, items) -> None:
    folder.mkdir(parents=True)
    for file_name, image, *_ in items:
        if isinstance(image, np.ndarray):
            bgr = image[..., ::-1] if image.ndim == 3 else image
            image = cv2.imencode(Path(file_name).suffix, bgr)[1].tobytes()
        if image is not None:
            (folder / file_name).parent.mkdir(exist_ok=True)
            (folder / file_name).write_bytes(image)
