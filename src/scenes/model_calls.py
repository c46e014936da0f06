"""What a model says of an image or a window, in whichever process it is asked.

Functions take the place of the bundle, not its networks, so that calls stay small; each process
reads it once.
"""

import math
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd

from src.acceptance.operating_point import Point
from src.applying.maps import merged_maps, network_maps, predictors
from src.applying.objects import found_objects
from src.base.errors import InputError
from src.bundles.reading import Bundle, read_bundle
from src.exchange.session import onnx_predictors
from src.formats.archive import PHOTO, decode_image
from src.mosaics.image_objects import SceneObject, image_objects
from src.mosaics.runs import Area
from src.networks.model import stride
from src.predicting.allowed_views import NESTED
from src.predicting.network_maps import Predict
from src.preparing.photos import read_photo
from src.scenes.scene import refusal
from src.scenes.scene_maps import Windows

TILE = 512  # px of a scene that networks predict at a time; fixed, since maps depend on it a little
REACH = 96  # px of a network's input, beyond which it hardly looks
STEPS = (1, 2, 4, 8)  # strides that the grid of windows may be, for networks that resize
ANY_SIDE = 1 << 15  # px; tiles of scenes are predicted whole


class Model(NamedTuple):
    """A bundle and what is changed of it."""

    path: Path
    stamp: tuple[int, int]  # time of its last change and bytes, so that another is read anew
    views: str | None
    score: float | None
    files: tuple[Path, ...] = ()  # ONNX files of its networks, to run in place of these


def open_model(path: Path, views: str | None, score: float | None) -> Model:
    """Name a bundle.

    Parameters
    ----------
    path : Path
    views : {"none", "hflip", "d2", "d4"} or None
        Fewer views than the bundle predicts with; None is as many.
    score : float or None
        From which detections are accepted, in place of the bundle's operating point.

    Raises
    ------
    InputError
        As `src.bundles.reading.read_bundle`, or if there are more views than the bundle has.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a bundle, NAME.maskline.zip")
    about = path.stat()
    model = Model(path, (about.st_mtime_ns, about.st_size), views, score)
    own = read_model(model._replace(views=None)).predict.views
    if views is not None and NESTED.index(views) > NESTED.index(own):
        raise InputError(f"--views {views}: {path.name} predicts with {own} at most; give that")
    return model


def read_model(model: Model) -> Bundle:
    """Return the bundle with what is changed of it."""
    bundle = _read(model.path, model.stamp)
    if model.views is not None:
        predict = bundle.predict.model_copy(update={"views": model.views})
        bundle = bundle._replace(predict=predict)
    if model.score is not None:
        point = Point(model.score, None, None)
        bundle = bundle._replace(learnt=bundle.learnt._replace(point=point))
    return bundle


def scene_windows(model: Model, side: int) -> Windows:
    """Choose tiles and halo, and the grid that they lie on, by the networks.

    Parameters
    ----------
    model : Model
    side : int
        px of what is handed over at a time, rounded up to whole tiles.

    Returns
    -------
    windows : Windows
        Tiles of about TILE px. The grid is of the networks' stride, or of a multiple where they
        resize the image, so that every tile begins where a cell of each network does.
    """
    bundle = read_model(model)
    factors = {
        Fraction(one.description["resize"] * scale).limit_denominator(1000)
        for one in bundle.networks
        for scale in bundle.predict.scales
    }
    largest = max(stride(one.model) for one in bundle.networks)
    fitting = [largest * n for n in STEPS if all(n * factor % 1 == 0 for factor in factors)]
    step = fitting[0] if fitting else largest
    halo = math.ceil(REACH / min(factors) / step) * step
    tile = math.ceil(TILE / step) * step
    return Windows(math.ceil(side / tile) * tile, tile, halo, step)


def predict_tile(image: np.ndarray, *, model: Model) -> dict[str, Any]:
    """Predict the maps of a tile of a scene and what is around it, uint8 (h, w, 3)."""
    return _maps(image, model, of_tile=True)


def find_in_maps(maps: dict[str, Any], *, model: Model) -> pd.DataFrame:
    """Return the detections in maps; see `src.applying.objects.found_objects`."""
    return found_objects(read_model(model), maps)


def read_image(path: Path, model: Model) -> np.ndarray:
    """Read an image file as in training: uint8 (H, W, 3) RGB.

    Raises
    ------
    InputError
        It names the file.
    """
    images = read_model(model).manifest.expected.read
    try:
        return decode_image(read_photo(path, images).content, PHOTO, str(path))
    except InputError as error:
        raise refusal(path, error) from None


def objects_of_image(path: Path, *, model: Model) -> tuple[list[SceneObject], np.ndarray] | str:
    """Find the objects of an image file that is predicted whole, as the stages do.

    Returns
    -------
    objects : list of SceneObject
    mask : ndarray of uint8, shape (H, W)
        Probability * 255.
    reason : str
        In their place, if the file cannot be read.
    """
    try:
        image = read_image(path, model)
    except InputError as error:
        return str(error)
    bundle, (height, width) = read_model(model), image.shape[:2]
    maps = _maps(image, model, of_tile=False)
    area = Area(0, height, 0, width)
    return image_objects(found_objects(bundle, maps), image, height, area), maps["mask"]


@lru_cache(maxsize=1)
def _read(path: Path, stamp: tuple[int, int]) -> Bundle:
    cv2.setNumThreads(1)  # each process is one of many
    return read_bundle(path)


def _maps(image: np.ndarray, model: Model, *, of_tile: bool) -> dict[str, Any]:
    bundle = read_model(model)
    predict = _predictors(model._replace(score=None), of_tile)
    return merged_maps(bundle, network_maps(bundle, predict, image))


@lru_cache(maxsize=2)  # of images and of tiles
def _predictors(model: Model, of_tile: bool) -> list[Predict]:
    """Return what predicts an image by each network; tiles of scenes whole, whatever their size."""
    bundle = read_model(model)
    if of_tile:
        whole = bundle.predict.model_copy(update={"max_size": ANY_SIDE, "overlap": 1})
        bundle = bundle._replace(predict=whole)
    return onnx_predictors(bundle, model.files) if model.files else predictors(bundle)
