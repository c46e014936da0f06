"""The section `soups` of params.yaml: averages of networks by name, each a list of members."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from src.base.errors import InputError
from src.base.params import Params


class SoupsParams(Params):
    model_config = ConfigDict(extra="allow")  # names are free
    __pydantic_extra__: dict[Annotated[str, Field(pattern=r"^\w+$")], list[str]]


def soup_names(path: Path, soups: SoupsParams, members: Iterable[str]) -> list[str]:
    """Return the names of all soups.

    Parameters
    ----------
    path : Path
        Of the params file, for the message.
    soups : SoupsParams
    members : iterable of str
        Names of all members.

    Raises
    ------
    InputError
        If a soup is called as a member is.
    """
    twins = set(soups.model_extra).intersection(members)
    if twins:
        name = min(twins)
        raise InputError(f"{path}: soups.{name}: there is a member '{name}'; rename the soup")
    return list(soups.model_extra)


def soup_members(path: Path, soups: SoupsParams, soup: str, members: Iterable[str]) -> list[str]:
    """Return the members that a soup averages.

    Parameters
    ----------
    path : Path
        Of the params file, for the message.
    soups : SoupsParams
    soup : str
        Name of the soup.
    members : iterable of str
        Names of all members.

    Returns
    -------
    averaged : list of str
        At least one, each among `members`.

    Raises
    ------
    InputError
        If there is no such soup, it is empty or has an unknown member, or is called as a member is.
    """
    known = list(members)
    if soup not in soups.model_extra:
        raise InputError(f"{path}: no soup '{soup}'; known: {', '.join(soups.model_extra)}")
    soup_names(path, soups, known)
    averaged = soups.model_extra[soup]
    if not averaged:
        raise InputError(f"{path}: soups.{soup}: is empty; list members: {', '.join(known)}")
    unknown = [member for member in averaged if member not in known]
    if unknown:
        raise InputError(
            f"{path}: soups.{soup}: no member '{unknown[0]}'; known: {', '.join(known)}"
        )
    return averaged
