"""Objects of pixels that a network finds alike."""

import numpy as np


def linked_labels(region: np.ndarray, affinity: np.ndarray, *, link_threshold: float) -> np.ndarray:
    """Join neighbouring pixels that are alike; what is joined, over however many, is an object.

    This is single-linkage clustering in which only pixels with a common side are compared.

    Parameters
    ----------
    region : ndarray of bool, shape (H, W)
        What belongs to objects.
    affinity : ndarray of uint8, shape (H, W, 3)
        Likeness * 255 of each pixel with its right neighbour (plane 0) and with its lower one
        (plane 1). The last column of plane 0, the last row of plane 1 and plane 2 have no meaning.
    link_threshold : float
        In [0, 1]; two neighbours in the region are joined if their likeness is at least this.

    Returns
    -------
    labels : ndarray of int32, shape (H, W)
        0 outside the region, else 1..N.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if affinity.shape != (*region.shape, 3):
        raise ValueError(f"affinity {affinity.shape} does not fit a region {region.shape}")
    labels = np.zeros(region.shape, np.int32)
    pixels = np.count_nonzero(region)
    if not pixels:
        return labels
    alike = affinity >= link_threshold * 255
    right = region[:, :-1] & region[:, 1:] & alike[:, :-1, 0]
    down = region[:-1] & region[1:] & alike[:-1, :, 1]
    number = np.zeros(region.shape, np.int32)
    number[region] = np.arange(pixels)
    start = np.concatenate([number[:, :-1][right], number[:-1][down]])
    stop = np.concatenate([number[:, 1:][right], number[1:][down]])
    from scipy.sparse import coo_array  # not at the top: for the method embedding alone
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(start.size, bool), (start, stop)), shape=(pixels, pixels))
    _, joined = connected_components(links, directed=False)
    labels[region] = joined + 1
    return labels
