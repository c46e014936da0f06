"""The params of postprocess with every option off, for tests to change."""

import json

from src.objects.params import PostprocessParams

PLAIN = {
    "method": "threshold",
    "threshold": 0.5,
    "layers": [0.5],
    "seeds": "mask",
    "seed_threshold": 0.5,
    "seed_area": 0,
    "link_threshold": 0.5,
    "connectivity": 4,
    "white_speckle": 0,
    "black_speckle": 0,
    "max_hole": 0,
    "erode": 0,
    "min_area": 0,
    "max_area": 0,
    "dilate": 0,
    "empty_threshold": 0.0,
    "hull_low": 0.0,
    "hull_high": 0.0,
    "hull_rows": 1.0,
    "hull_erode": 0,
    "hull_min_area": 0.0,
    "hull_margin": 0,
    "hull_threshold": 0.2,
}


def plain(**changes) -> PostprocessParams:
    """Return them as the frozen section, with changes."""
    return PostprocessParams.model_validate(PLAIN | changes)


def write_plan(folder, **changes):
    """Write what the stage plan says of the section."""
    folder.mkdir(parents=True, exist_ok=True)
    planned = {
        "connectivity": 8,
        "seeds": "mask",
        "min_area": 5,
        "max_hole": 3,
        "dilate": 0,
    } | changes
    (folder / "postprocess.json").write_text(json.dumps(planned))
