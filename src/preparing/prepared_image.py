"""One image of a dataset, read, checked, and brought into the form that all later stages use."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from src.base.errors import InputError
from src.formats.archive import encode_png
from src.image_files.geotransforms import of_window, read_geotransform
from src.label_maps.labels import IGNORE
from src.preparing.instances import draw_instances
from src.preparing.params import PrepareMasksParams
from src.preparing.photos import Photo, read_photo
from src.reading.datasets import read_objects
from src.reading.object_checks import find_repeated, object_warnings
from src.reading.params import DatasetParams, ImagesParams
from src.reading.records import ImageRecord, SourceObject
from src.reading.segmentations import compress

CROWDS = "annotations with iscrowd 1 ignored"
LOSSES = ("hidden under others", "without a pixel", "duplicates dropped", CROWDS)
UNLABELLED = {"objects": None, "ignored": None, "coverage": None, "instances": b""}
UNLABELLED |= {"truth": (), "losses": {}}
MOST = 0.5  # share of an image's pixels; beyond it they are warned of


class PreparedImage(NamedTuple):
    """What `prepare_image` makes of one image; objects to losses are None or empty in test."""

    content: bytes  # PNG or JPEG of the image, as `read_photo` gives it
    height: int  # px
    width: int  # px
    objects: int | None  # labels in the label map
    ignored: int | None  # crowds and edge objects in it
    coverage: float | None  # object pixels / pixels
    instances: bytes  # the label map as uint16 PNG; see `draw_instances`
    truth: Sequence[dict]  # COCO annotations of all objects that have a pixel, whole
    losses: dict[str, int]  # objects that the label map does not show, for each of LOSSES
    warnings: list[tuple[str, str]]  # kind and detail, at most one of each of `params.KINDS`
    place: tuple | None  # on the map, as `read_geotransform` gives it


def prepare_image(
    record: ImageRecord,
    *,
    dataset: DatasetParams,
    images: ImagesParams,
    params: PrepareMasksParams,
) -> PreparedImage | str:
    """Read one image, check its file and its objects and paint its label map.

    Parameters
    ----------
    record : ImageRecord
        As `find_records` lists it.
    dataset : DatasetParams
        `format` is that of the dataset, `category_id` stands in the truth.
    images : ImagesParams
        How the file is read; see `read_photo`.
    params : PrepareMasksParams
        With `duplicate_objects` drop an object with the pixels of another is left out of label map
        and truth; `reject` has the kinds for which the image is rejected; how objects are
        painted says `draw_instances`.

    Returns
    -------
    prepared : PreparedImage or str
        The reason in words if the image must be rejected: its file is not intact, is of another
        size than listed, one of its objects cannot be read, or there is a warning to reject for.

    Raises
    ------
    InputError
        If a file that says where the image lies on the map is wrong.
    """
    try:
        image = read_photo(record.path, images, record.size, record.window)
        objects = read_objects(dataset.format, record, image.height, image.width)
    except InputError as error:
        return _part(record) + str(error)
    warnings = _photo_warnings(image) + object_warnings(objects)
    labelled = dict(UNLABELLED)
    if record.split != "test":
        kept = _without_repeated(objects) if params.duplicate_objects == "drop" else objects
        category_id = cast("int", dataset.category_id)  # `with_category` has made it one
        labelled, hidden = _labelled(record, kept, image, category_id, params)
        lost = hidden, len(kept) - len(labelled["truth"]), len(objects) - len(kept)
        lost += (sum(one.crowd and not (one.outer or one.void) for one in objects),)
        labelled["losses"] = dict(zip(LOSSES, lost, strict=True))
        warnings += _hidden_warnings(hidden)
    for kind, detail in warnings:
        if kind in params.reject:
            return f"{_part(record)}{kind}: {detail}"
    of_photo = {"content": image.content, "height": image.height, "width": image.width}
    place = read_geotransform(record.path)
    if place and record.window:
        place = of_window(place, record.window)
    return PreparedImage(**of_photo, **labelled, warnings=warnings, place=place)


def _part(record: ImageRecord) -> str:
    """Say which part of its file an image is, where it is not all of it."""
    return f"the tile {record.name.split('/', 1)[1]}: " if record.window else ""


def _hidden_warnings(hidden: int) -> list[tuple[str, str]]:
    plural = "objects lie" if hidden > 1 else "object lies"
    return [("hidden", f"{hidden} {plural} wholly under others")] if hidden else []


def _photo_warnings(image: Photo) -> list[tuple[str, str]]:
    found = [("blank", "all pixels are alike")] if image.blank else []
    shares = (
        ("saturated", image.saturated, "0 or 255 in all bands"),
        ("no_data", image.no_data, "without data"),
    )
    for kind, share, what in shares:
        if share > MOST:
            found.append((kind, f"{100 * share:.1f} % of the pixels are {what}"))
    if image.few_levels and not image.blank:
        left, there = image.few_levels
        detail = f"{left} of 256 grey levels are left of {there} values; set images.stretch"
        found.append(("few_levels", f"{detail} to auto, or to range"))
    if image.pages > 1:
        detail = f"the first of {image.pages} pages or frames was read"
        found.append(("pages", f"{detail}; of a TIFF file images.bands numbers the bands of all"))
    return found


def _without_repeated(objects: list[SourceObject]) -> list[SourceObject]:
    return [one for one, flag in zip(objects, find_repeated(objects), strict=True) if not flag]


def _labelled(
    record: ImageRecord,
    objects: list[SourceObject],
    image: Photo,
    category_id: int,
    params: PrepareMasksParams,
) -> tuple[dict, int]:
    """Return what a labelled image has beyond others, and how many objects are hidden."""
    height, width = image.height, image.width
    regions, crowd = [one.region for one in objects], [one.crowd for one in objects]
    drawn = draw_instances(regions, crowd, height, width, params)
    covered = np.count_nonzero((drawn.instances > 0) & (drawn.instances < IGNORE))
    truth = [
        {
            "id": one.truth_id,
            "image_id": record.image_id,
            "category_id": category_id,
            "iscrowd": int(one.crowd),
            "segmentation": compress(one.region, height, width),
            "area": one.area or one.region.area,
            "bbox": one.region.bbox,
        }
        for one in objects
        if one.region.area
    ]
    labelled = {
        "objects": drawn.objects,
        "ignored": drawn.ignored,
        "coverage": round(covered / (height * width), 6),
        "instances": encode_png(drawn.instances),
        "truth": truth,
    }
    return labelled, drawn.hidden
