"""The section `soups` of params.yaml: averages of networks by name, each a list of members."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, cast

from pydantic import ConfigDict, Field

from src.base.errors import InputError
from src.base.params import Params


class SoupsParams(Params):
    model_config = ConfigDict(extra="allow")  # names are free
    # pydantic's own way to give free names a type
    __pydantic_extra__: dict[  # pyright: ignore[reportIncompatibleVariableOverride]
        Annotated[str, Field(pattern=r"^\w+$")], list[str]
    ]


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
    names = list(_by_name(soups))
    twins = set(names).intersection(members)
    if twins:
        name = min(twins)
        raise InputError(f"{path}: soups.{name}: there is a member '{name}'; rename the soup")
    return names


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
    known, by_name = list(members), _by_name(soups)
    if soup not in by_name:
        raise InputError(f"{path}: no soup '{soup}'; known: {', '.join(by_name)}")
    soup_names(path, soups, known)
    averaged = by_name[soup]
    if not averaged:
        raise InputError(f"{path}: soups.{soup}: is empty; list members: {', '.join(known)}")
    unknown = [member for member in averaged if member not in known]
    if unknown:
        raise InputError(
            f"{path}: soups.{soup}: no member '{unknown[0]}'; known: {', '.join(known)}"
        )
    return averaged


def _by_name(soups: SoupsParams) -> dict[str, list[str]]:
    return cast("dict[str, list[str]]", soups.model_extra or {})
