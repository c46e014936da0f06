"""How often each training image is drawn."""

import numpy as np

SAMPLINGS = ("uniform", "size", "rarity")
BINS = 10  # of equal width over the coverages above 0


def sampling_weights(
    sampling: str, *, objects: np.ndarray, coverage: np.ndarray, pixels: np.ndarray
) -> np.ndarray | None:
    """Weigh images by how often they are to be drawn, with `src.training.epoch_draws`.

    Parameters
    ----------
    sampling : {"uniform", "size", "rarity"}
        Each image once; in proportion to 1 / sqrt(mean object area), so that images of small
        objects come more often; in proportion to 1 / (number of images of like coverage), so that
        each coverage from none to all comes equally often.
    objects : ndarray of integers, shape (N,)
        Objects in each image.
    coverage : ndarray of float, shape (N,)
        Object pixels / pixels, in [0, 1]. Alike are 0 on its own, then (0, 0.1], (0.1, 0.2], ...
    pixels : ndarray of integers, shape (N,)
        Height x width of each image.

    Returns
    -------
    weights : ndarray of float64, shape (N,), or None
        Positive; None for "uniform". By "size", images without objects get the mean weight of the
        others, and all weigh 1 where no image has an object.

    Raises
    ------
    ValueError
        If `sampling` is unknown.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f"sampling '{sampling}' is unknown; known: {', '.join(SAMPLINGS)}")
    if sampling == "uniform":
        return None
    if sampling == "rarity":
        like = np.ceil(coverage * BINS).astype(int)
        return 1 / np.bincount(like)[like]
    weights = np.ones(len(objects))
    some = (objects > 0) & (coverage > 0)
    if some.any():
        weights[some] = np.sqrt(objects[some] / (coverage[some] * pixels[some]))
        weights[~some] = weights[some].mean()
    return weights
