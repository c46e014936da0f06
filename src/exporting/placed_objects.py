"""The objects of a split as its writers take them, each once on the ground."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from src.exporting.delivery import Delivery
from src.exporting.object_file import batches, object_rows, write_objects
from src.exporting.predicted_objects import ImageObjects
from src.formats.archive import ImageArchive
from src.formats.prepared import archive_of
from src.formats.stored_bands import decode_picture
from src.mosaics.image_objects import image_objects
from src.mosaics.placing import Mosaic, Place, find_mosaics
from src.mosaics.seams import join_at_seams
from src.outlines.params import OutlinesParams
from src.parallel.memory import largest
from src.parallel.workers import in_order

BYTES = 12  # of memory that a pixel of an image takes at most


def store_objects(
    images: list[ImageObjects],
    places: Mapping[str, Place],
    photos: dict[str, ImageArchive],
    folder: Path,
    params: OutlinesParams,
    scheduler: str,
) -> Iterator[Delivery]:
    """Measure and outline the objects of images, joined where images lie side by side.

    Parameters
    ----------
    images : list of ImageObjects
    places : mapping of str to tuple
        Where images lie on the map; those that do not are not in it.
    photos : dict of str to ImageArchive
        That the colours of objects are measured in.
    folder : Path
        For a file of `src.exporting.object_file` of each delivery.
    params : OutlinesParams
    scheduler : str
        As for `in_order`.

    Yields
    ------
    delivery : Delivery
        Of each image, or mosaic of those that touch or overlap on the ground, which bears the name
        of the first.
    """
    sizes = [(image.height, image.width) for image in images]
    mosaics = find_mosaics([places.get(image.name) for image in images], sizes)
    calls = (
        (mosaic, [(one, _encoded(one, photos)) for one in map(images.__getitem__, mosaic.members)])
        for mosaic in mosaics
    )
    memory = BYTES * largest(sizes)
    found = in_order(_rows, calls, scheduler=scheduler, memory=memory, params=params)
    first = 1
    for number, (mosaic, rows) in enumerate(zip(mosaics, found, strict=True)):
        path = folder / f"{number}.parquet"
        count = write_objects(path, rows)
        name = images[mosaic.members[0]].name
        yield Delivery(name, mosaic.height, mosaic.width, mosaic.place, path, first)
        first += count


def _encoded(image: ImageObjects, photos: dict[str, ImageArchive]) -> bytes:
    """Return the file of an image that has objects, since an open archive stays in its process."""
    return archive_of(photos, image.name).read_bytes(image.name) if image.rles else b""


def _rows(
    mosaic: Mosaic, images: list[tuple[ImageObjects, bytes]], *, params: OutlinesParams
) -> list[pa.RecordBatch]:
    objects, areas = [], []
    for (image, encoded), area in zip(images, mosaic.areas, strict=True):
        if image.rles:
            counts = [rle["counts"] for rle in image.rles]
            table = pd.DataFrame({"counts": counts, "score": image.scores, "accepted": True})
            photo = decode_picture(encoded, image.name)
            objects.append(image_objects(table, photo, mosaic.height, area))
            areas.append(area)
    joined = join_at_seams(objects, areas, mosaic.height, mosaic.width)
    outline = partial(
        object_rows,
        height=mosaic.height,
        simplify=params.simplify,
        right_angles=params.right_angles,
    )
    return [outline(*some) for some in batches([joined])]
