"""Training once more on the hardest of the last batches."""

from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

Batch = TypeVar("Batch")


def round_so_far(losses: list[float], every: int) -> tuple[int, int | None]:
    """Tell how far an epoch has come from the losses of its batches.

    Parameters
    ----------
    losses : list of float
        Of every batch of the epoch so far, replays included, in their order.
    every : int
        Fresh batches in a round; 0 has no replays.

    Returns
    -------
    fresh : int
        How many fresh batches there were.
    worst : int or None
        Which of them, from 0, is the worst of the round under way; None where a round begins.
    """
    if not every:
        return len(losses), None
    rounds, in_round = divmod(len(losses), every + 1)
    if not in_round:
        return rounds * every, None
    of_round = losses[-in_round:]
    return rounds * every + in_round, rounds * every + of_round.index(max(of_round))


def with_replays(
    batches: Iterable[Batch], losses: list[float], every: int, worst: Batch | None = None
) -> Iterator[Batch]:
    """Yield batches, and after every so many of them the one with the highest loss once more.

    So n batches become n + n // every. A replay never makes its batch a candidate again; batches
    after the last full round are not replayed. Of equal losses the first counts.

    Parameters
    ----------
    batches : iterable
        The fresh ones that are left of an epoch. One is kept: the worst so far of the round.
    losses : list of float
        Of the batches of the epoch so far, empty at its begin. The consumer appends the loss of
        each batch it got, replays included, before it asks for the next: nothing that fetches ahead
        may stand between.
    every : int
        Fresh batches in a round; 0 yields the fresh ones alone.
    worst
        The batch that `round_so_far` tells of, where an epoch is gone on with.

    Yields
    ------
    batch
        As it came.

    Raises
    ------
    ValueError
        If the loss of a batch was not appended.
    """
    batches = iter(batches)
    while True:
        fresh, number = round_so_far(losses, every)
        if number is not None and fresh % every == 0:
            batch = cast("Batch", worst)
        else:
            try:
                batch = next(batches)
            except StopIteration:
                return
        seen = len(losses)
        yield batch
        if len(losses) != seen + 1:
            raise ValueError("append the loss of every batch before asking for the next")
        if round_so_far(losses, every)[1] == fresh:
            worst = batch
