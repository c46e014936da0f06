"""Training once more on the hardest of the last batches."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Batch = TypeVar("Batch")


def with_replays(batches: Iterable[Batch], losses: list[float], every: int) -> Iterator[Batch]:
    """Yield batches, and after every so many of them the one with the highest loss once more.

    So n batches become n + n // every. A replay never makes its batch a candidate again; batches
    after the last full round are not replayed. Of equal losses the first counts.

    Parameters
    ----------
    batches : iterable
        The fresh ones. One is kept: the worst so far of the round.
    losses : list of float
        The consumer appends the loss of each batch it got, replays included, before it asks for
        the next: nothing that fetches ahead may stand between.
    every : int
        Fresh batches in a round; 0 yields the fresh ones alone.

    Yields
    ------
    batch
        As it came.

    Raises
    ------
    ValueError
        If the loss of a batch was not appended.
    """
    worst: tuple[Batch, float] | None = None  # with its loss
    for number, batch in enumerate(batches, start=1):
        seen = len(losses)
        yield batch
        if not every:
            continue
        if len(losses) != seen + 1:
            raise ValueError("append the loss of every batch before asking for the next")
        if worst is None or losses[-1] > worst[1]:
            worst = batch, losses[-1]
        if number % every == 0:
            yield worst[0]
            worst = None
