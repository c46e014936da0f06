"""Objects as COCO results and as a table of measurements."""

import json
from pathlib import Path

from src.base.errors import InputError
from src.exporting.delivery import COLUMNS, Delivery, measured_batches
from src.exporting.object_file import batch_runs, read_objects
from src.mosaics.runs import runs_area, runs_rle

MOST_PIXELS = (1 << 32) - 1  # that pycocotools can count


def write_measurements(path: Path, deliveries: list[Delivery]) -> None:
    """Write a CSV file with a row for each object; see `measured_batches` for its columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        for one in deliveries:
            for table, _ in measured_batches(one):
                table.to_csv(file, header=False, index=False, lineterminator="\n")


def write_coco(folder: Path, deliveries: list[Delivery], categories: list[dict]) -> None:
    """Write coco_images.json and coco_results.json.

    Parameters
    ----------
    folder : Path
    deliveries : list of Delivery
        Numbered from 1 as COCO's image_id, in their order.
    categories : list of dict
        {"id", "name"}; objects are of the first.

    Raises
    ------
    InputError
        If an image has more pixels than COCO's run lengths can count; nothing is written then.
    """
    for one in deliveries:
        if one.height * one.width > MOST_PIXELS:
            raise InputError(
                f"{one.name}: {one.height}x{one.width} px are more than COCO's run lengths can "
                "count (2^32); leave coco out of --formats"
            )
    images = [
        {"id": number, "file_name": one.name, "height": one.height, "width": one.width}
        for number, one in enumerate(deliveries, start=1)
    ]
    document = {"images": images, "categories": categories, "annotations": []}
    (folder / "coco_images.json").write_text(json.dumps(document), encoding="utf-8")
    with (folder / "coco_results.json").open("w", encoding="utf-8") as file:
        begin = "[\n"
        for number, one in enumerate(deliveries, start=1):
            for batch in read_objects(one.objects):
                scores = batch.column("score").to_pylist()
                for runs, score in zip(batch_runs(batch), scores, strict=True):
                    area = runs_area(runs, one.height)
                    result = {
                        "image_id": number,
                        "category_id": categories[0]["id"],
                        "segmentation": runs_rle(runs, one.height, one.width),
                        "bbox": [
                            *(area.left, area.top),
                            *(area.right - area.left, area.bottom - area.top),
                        ],
                        "score": score,
                    }
                    file.write(begin + json.dumps(result))
                    begin = ",\n"
        file.write("[]\n" if begin == "[\n" else "\n]\n")
