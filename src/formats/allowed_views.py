"""Which mirrored and turned views a scene permits."""

NESTED = ("none", "hflip", "d2", "d4")  # each has all views of those before it


def limited_views(views: str, allowed: str) -> str:
    """Limit a set of views to what the scene permits: the smaller of the two.

    Parameters
    ----------
    views : {"none", "hflip", "d2", "d4"}
        The views wanted: the image alone; mirrored left to right too; mirrored either way; also
        turned by quarters.
    allowed : {"none", "hflip", "d2", "d4"}
        The views that are physically possible.

    Raises
    ------
    ValueError
        If one of them is unknown.
    """
    for name in (views, allowed):
        if name not in NESTED:
            raise ValueError(f"views '{name}' is unknown; known: {', '.join(NESTED)}")
    return min(views, allowed, key=NESTED.index)
