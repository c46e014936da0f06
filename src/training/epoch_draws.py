"""Which training images an epoch shows, in which order, each with the seed of its augmentation."""

import numpy as np


def epoch_draws(
    images: int,
    *,
    fraction: float,
    batch_size: int,
    seed: int,
    epoch: int,
    weights: np.ndarray | None = None,
) -> list[tuple[int, int]]:
    """Draw the images of one epoch.

    Parameters
    ----------
    images : int
        How many there are; at least 1.
    fraction : float
        Share of them to use, in (0, 1]: always the same ones for one seed, at least one.
    batch_size : int
        The last, partial batch is left out (another one in each epoch), unless it is the only one:
        batch normalisation is poor on few images.
    seed, epoch : int
        Not negative; they determine the result.
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
    chosen = np.random.default_rng(seed).permutation(images)[: max(1, round(fraction * images))]
    rng = np.random.default_rng([seed, epoch])
    if weights is None:
        order = rng.permutation(chosen)
    else:
        order = rng.choice(chosen, len(chosen), p=weights[chosen] / weights[chosen].sum())
    seeds = rng.integers(2**31, size=len(order))
    full = len(order) - len(order) % batch_size if len(order) > batch_size else len(order)
    return list(zip(order[:full].tolist(), seeds[:full].tolist(), strict=True))
