"""Networks that run from ONNX files in place of torch."""

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from src.bundles.reading import Bundle
from src.networks.model import stride
from src.predicting.network_maps import Predict, predictor_by

INPUT = "images"
TOLD = "model.json"


def onnx_predictors(bundle: Bundle, files: Sequence[Path]) -> list[Predict]:
    """Return a function of each network that predicts an image by its file.

    Parameters
    ----------
    bundle : Bundle
    files : sequence of Path
        From `src.exchange.export.export_networks`.

    Returns
    -------
    predict : list of callable
        As `src.applying.maps.predictors`; on the processor, in float32, whatever the bundle's
        `predict.precision`. Maps may differ from those of torch by a step of 1/255 here and there.
    """
    return [
        predictor_by(
            partial(_answers, path=path),
            one.description,
            bundle.predict,
            stride=stride(one.model),
            device=torch.device("cpu"),
        )
        for path, one in zip(files, bundle.networks, strict=True)
    ]


def open_session(path: Path) -> Any:
    """Open a file with onnxruntime, to run on as many threads as torch takes."""
    import onnxruntime  # pyright: ignore[reportMissingImports]  it need not be installed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the answers by head to images, uint8 (B, C, h, w)."""
    found = session.run(None, {INPUT: images.numpy()})
    names = [one.name for one in session.get_outputs()]
    return {head: torch.from_numpy(one) for head, one in zip(names, found, strict=True)}


def _answers(images: torch.Tensor, depth: float, *, path: Path) -> dict[str, torch.Tensor]:
    return run_session(_session(path), images)  # no network of a bundle looks at the depth


_session = lru_cache(maxsize=None)(open_session)
