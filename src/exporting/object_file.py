"""The objects of one scene in a Parquet file, between finding them and writing them for others."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from src.base.files import new_file
from src.mosaics.image_objects import SceneObject
from src.mosaics.runs import count_pixels
from src.outlines.object_outline import object_outline

BATCH = 256  # objects worked on and read at a time
SCHEMA = pa.schema(
    [
        ("score", pa.float64()),
        ("runs", pa.list_(pa.int64())),
        ("area_px", pa.int64()),
        ("red", pa.float64()),
        ("green", pa.float64()),
        ("blue", pa.float64()),
        ("outline", pa.binary()),  # WKB of a MultiPolygon, px
    ]
)


def batches(objects: Iterable[list[SceneObject]]) -> Iterator[tuple[list[SceneObject]]]:
    """Give objects as arguments of calls, at most `BATCH` in each."""
    for some in objects:
        for first in range(0, len(some), BATCH):
            yield (some[first : first + BATCH],)


def object_rows(
    objects: list[SceneObject], *, height: int, simplify: float, right_angles: bool
) -> pa.RecordBatch:
    """Measure and outline objects: rows of the file; see `object_outline`."""
    outlines = [
        object_outline(one.runs, height, simplify=simplify, right_angles=right_angles)
        for one in objects
    ]
    red, green, blue = np.array([one.colour for one in objects], float).reshape(-1, 3).T
    return pa.record_batch(
        [
            pa.array([one.score for one in objects], pa.float64()),
            pa.array([one.runs.ravel() for one in objects], SCHEMA.field("runs").type),
            pa.array([count_pixels(one.runs) for one in objects], pa.int64()),
            *(pa.array(colour, pa.float64()) for colour in (red, green, blue)),
            pa.array([shapely.to_wkb(outline) for outline in outlines], pa.binary()),
        ],
        schema=SCHEMA,
    )


def write_objects(path: Path, rows: Iterable[pa.RecordBatch]) -> int:
    """Write the file, whole or not at all; return how many objects it holds."""
    count = 0
    with new_file(path) as partial, pq.ParquetWriter(partial, SCHEMA) as writer:
        for some in rows:
            if some.num_rows:
                writer.write_batch(some)
                count += some.num_rows
    return count


def count_objects(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows


def read_objects(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the file, some objects at a time."""
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH)


def batch_runs(batch: pa.RecordBatch) -> list[np.ndarray]:
    """Return the runs of each object of a batch."""
    column = batch.column("runs")
    offsets, values = column.offsets.to_numpy(), column.values.to_numpy()
    return [
        values[first:last].reshape(-1, 2)
        for first, last in zip(offsets[:-1], offsets[1:], strict=True)
    ]
