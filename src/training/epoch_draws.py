"""Which training images an epoch shows, in which order, each with the seed of its augmentation."""

import numpy as np

from src.training.params import Phase, TrainParams


def epoch_draws(
    images: int,
    phase: Phase,
    train: TrainParams,
    *,
    epoch: int,
    weights: np.ndarray | None = None,
) -> list[tuple[int, int]]:
    """Draw the images of one epoch.

    Parameters
    ----------
    images : int
        How many there are; at least 1.
    phase : Phase
        `fraction`: share of them to use, always the same ones for one seed, at least one.
    train : TrainParams
        `batch_size`: the last, partial batch is left out (another one in each epoch), unless it is
        the only one: batch normalisation is poor on few images. `seed` and the epoch determine the
        result.
    epoch : int
        Not negative.
    weights : ndarray of float, shape (images,), optional
        Positive. The epoch is then as long, but its images are drawn with replacement, in
        proportion to them, from those that `fraction` leaves.

    Returns
    -------
    draws : list of (index, augmentation seed)
        Without weights no index twice.

    Raises
    ------
    ValueError
        If the weights are not one positive number per image.
    """
    if weights is not None and not (weights.shape == (images,) and (weights > 0).all()):
        raise ValueError(f"weights must be {images} positive numbers, got {weights}")
    shuffled = np.random.default_rng(train.seed).permutation(images)
    chosen = shuffled[: max(1, round(phase.fraction * images))]
    rng = np.random.default_rng([train.seed, epoch])
    if weights is None:
        order = rng.permutation(chosen)
    else:
        order = rng.choice(chosen, len(chosen), p=weights[chosen] / weights[chosen].sum())
    seeds = rng.integers(2**31, size=len(order))
    size = train.batch_size
    full = len(order) - len(order) % size if len(order) > size else len(order)
    return list(zip(order[:full].tolist(), seeds[:full].tolist(), strict=True))
