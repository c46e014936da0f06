"""Which mirrored and turned views a scene permits."""

from typing import Literal, get_args

from src.base.params import Params

Views = Literal["none", "hflip", "d2", "d4"]
NESTED = get_args(Views)  # each has all views of those before it


class ViewsParams(Params):
    """The section `views` of params.yaml."""

    allowed: Views


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
