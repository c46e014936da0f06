"""Score the candidates and keep the best of each image, as COCO results.

    python -m stages.rescore data/prepared data/candidates data/predictions

Reads  prepared/images.csv, prepared/truth_train.json (its category), candidates/*.parquet
Writes predictions/{oof,val,test}.json  COCO results: image_id, category_id, segmentation
                                        (compressed RLE), bbox XYWH, score
"""

import argparse
import json
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from src.errors import InputError
from src.json_files import read_json
from src.new_folder import new_folder
from src.params import Params, load_params
from src.scores import best_of_each, object_scores


class RescoreParams(Params):
    score: Literal["constant", "mean", "mean_sqrt_area"]
    max_detections: int = Field(gt=0)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("candidates", type=Path)
    parser.add_argument("predictions", type=Path, help="folder to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(args.params, "rescore", RescoreParams)

    images = args.prepared / "images.csv"
    if not images.is_file():
        raise InputError(f"{images}: no such file; run prepare_masks")
    image_ids = pd.read_csv(images).set_index("name")["image_id"]
    category_id = read_json(args.prepared / "truth_train.json")["categories"][0]["id"]
    with new_folder(args.predictions) as folder:
        for split in ("oof", "val", "test"):
            path = args.candidates / f"{split}.parquet"
            if not path.is_file():
                raise InputError(f"{path}: no such file; run the postprocess stage")
            candidates = pd.read_parquet(path)
            results = _results(candidates, image_ids, category_id, params)
            (folder / f"{split}.json").write_text(json.dumps(results))
            print(f"{len(results)} of {len(candidates)} {split} candidates kept")


def _results(candidates: pd.DataFrame, image_ids, category_id: int, params: RescoreParams):
    names, area = candidates["name"].to_numpy(str), candidates["area"].to_numpy()
    scores = object_scores(candidates["mean_probability"].to_numpy(), area, params.score)
    kept = best_of_each(names, scores, params.max_detections)
    rows = candidates.iloc[kept].assign(
        score=scores[kept], image_id=image_ids.loc[names[kept]].values
    )
    return [
        {
            "image_id": row.image_id,
            "category_id": category_id,
            "segmentation": {"size": [row.height, row.width], "counts": row.counts},
            "bbox": [row.bbox_x, row.bbox_y, row.bbox_width, row.bbox_height],
            "score": round(row.score, 6),
        }
        for row in rows.itertuples()
    ]


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
