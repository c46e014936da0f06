"""The params of rescore, for tests to change."""

from src.scoring.params import RescoreParams

PLAIN = {
    "score": "mean",
    "target": "iou",
    "trees": 10,
    "learning_rate": 0.3,
    "leaves": 4,
    "seed": 0,
    "calibration": "none",
    "selection": "none",
    "nms_iou": 0.5,
    "min_score": 0.0,
    "operating_point": 0.0,
    "operating_metric": "f1_50",
}


def params(**changes):
    return RescoreParams(**PLAIN | changes)
