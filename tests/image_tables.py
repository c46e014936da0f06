"""The tables of images that prepare_masks would write, for tests of the stages after it."""

from pathlib import Path

import pandas as pd

from src.formats.image_columns import IMAGE_TYPES
from src.formats.prepared import SPLITS
from src.formats.tables import write_table


def write_image_tables(prepared: Path, rows: list[dict]) -> None:
    """Write prepared/<split>/images.csv of rows that have a name and what else matters.

    The other columns are filled in; further ones are metadata.
    """
    further = {key: None for row in rows for key in row if key not in IMAGE_TYPES}
    for split in SPLITS:
        own = [row for row in rows if row["name"].startswith(f"{split}/")]
        filled = [
            {"split": split, "image_id": number, "file_name": f"{number}.png", "height": 16}
            | {"width": 16, "objects": 1, "ignored": 0, "coverage": 0.5, "group": row["name"]}
            | dict.fromkeys(further, "")
            | row
            for number, row in enumerate(own, start=1)
        ]
        table = pd.DataFrame(filled, columns=[*IMAGE_TYPES, *further])
        write_table(prepared / split / "images.csv", table)
