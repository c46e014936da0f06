"""Images that must not be parted between folds, and what of val and test train has seen."""

import numpy as np

from src.duplicates.union_find import find, unite

MOST = 0.5  # of train; a cluster that holds more is hardly one of copies


def join_groups(own_groups: list[str], pairs: np.ndarray) -> list[str]:
    """Join groups that have a pair of images between them, and those that these join in turn.

    Parameters
    ----------
    own_groups : list of str
        The group of each image.
    pairs : ndarray of int, shape (P, 2)
        Numbers of images that belong together, in any order; P may be 0.

    Returns
    -------
    groups : list of str
        The joined group of each image, called by the smallest of the names that it joins.
    """
    names, numbers = np.unique(np.array(own_groups, dtype=object), return_inverse=True)
    parents = np.arange(len(names))
    for one, other in numbers[pairs].tolist():
        unite(parents, one, other)
    return names[find(parents, numbers)].tolist()


def number_clusters(count: int, pairs: np.ndarray) -> np.ndarray:
    """Give each cluster that pairs of images form a number, by their first images.

    Parameters
    ----------
    count : int
        Images.
    pairs : ndarray of int, shape (P, 2)
        Numbers of images, in any order; P may be 0.

    Returns
    -------
    clusters : ndarray of int64, shape (count,)
        From 0, each of at least two images; -1 for images in no pair.
    """
    parents = np.arange(count)
    for one, other in pairs.tolist():
        unite(parents, one, other)
    clusters = np.full(count, -1)
    paired = np.unique(pairs)
    clusters[paired] = np.unique(find(parents, paired), return_inverse=True)[1]
    return clusters


def count_leaks(splits: np.ndarray, groups: np.ndarray, clusters: np.ndarray | None) -> dict:
    """Count what train shares with val and test.

    Parameters
    ----------
    splits : ndarray of str, shape (N,)
        train, val or test, for each image.
    groups : ndarray of str, shape (N,)
        Of `join_groups`.
    clusters : ndarray of int64, shape (N,), or None
        Of `number_clusters`; None if near-duplicates were not looked for.

    Returns
    -------
    counts : dict of str to int, float or None
        For each split `images` and, of these, `duplicated`: near-duplicates of others of the split;
        for val and test `in_train` and its share: near-duplicates of an image of train, and
        `clean`: in a group without an image of train. `clusters`, the images of the largest one,
        and the most images of train in one. Shares of a split without images are None, and so is
        what was not looked for.
    """
    if clusters is None:
        counts = count_leaks(splits, groups, np.full(len(splits), -1))
        known = (".images", ".clean")
        return {key: count if key.endswith(known) else None for key, count in counts.items()}
    sizes = np.bincount(clusters[clusters >= 0])
    counts: dict[str, float | None] = {"clusters": len(sizes)}
    counts["largest_cluster"] = int(sizes.max(initial=0))
    trained = splits == "train"
    for split in ("train", "val", "test"):
        here = splits == split
        within = np.bincount(clusters[here & (clusters >= 0)])
        doubled = np.isin(clusters, np.flatnonzero(within > 1))
        if split == "train":
            counts["train.largest_cluster"] = int(within.max(initial=0))
        counts[f"{split}.images"] = int(here.sum())
        counts[f"{split}.duplicated"] = int((here & doubled).sum())
        if split != "train":
            seen = here & (clusters >= 0) & np.isin(clusters, clusters[trained])
            clean = here & ~np.isin(groups, groups[trained])
            counts[f"{split}.in_train"] = int(seen.sum())
            share = seen.sum() / here.sum() if here.any() else None
            counts[f"{split}.in_train_share"] = None if share is None else float(share)
            counts[f"{split}.clean"] = int(clean.sum())
    return counts


def describe_leaks(counts: dict) -> str:
    """Say in a sentence what the counts of `count_leaks` tell of near-duplicates."""
    if counts["clusters"] is None:
        return "near-duplicates were not looked for (find_duplicates.distance is -1)"
    shares = [
        f"{counts[f'{split}.in_train']} of {counts[f'{split}.images']} {split} images "
        f"({100 * counts[f'{split}.in_train_share']:.1f} %)"
        for split in ("val", "test")
        if counts[f"{split}.images"]
    ]
    shared = f"{' and '.join(shares)} are near-duplicates of train images; " if shares else ""
    own = f"{counts['train.duplicated']} of {counts['train.images']} train images"
    return f"{shared}{own} have near-duplicates in train"


def warn_of_cluster(counts: dict) -> str | None:
    """Say in a sentence that one cluster holds most of train, by `count_leaks`; None if not so."""
    largest, images = counts["train.largest_cluster"], counts["train.images"]
    if largest is None or largest <= MOST * images:
        return None
    return (
        f"{largest} of {images} train images are in one cluster of near-duplicates, which no fold "
        "parts; if they are no copies but share a background, lower "
        "find_duplicates.local_difference or set find_duplicates.distance to -1"
    )
