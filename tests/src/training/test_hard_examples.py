import pytest

from src.training.hard_examples import round_so_far, with_replays


def seen(batches, every, losses_of):
    """Consume as training does; return batches and losses in their order."""
    losses, order = [], []
    for batch in with_replays(batches, losses, every):
        order.append(batch)
        losses.append(losses_of(batch, order.count(batch)))
    return "".join(order), losses


def test_the_worst_of_every_three_comes_again_right_after_them():
    losses_of = {"a": 1, "b": 5, "c": 2, "d": 4, "e": 3, "f": 0, "g": 9}
    order, losses = seen("abcdefg", 3, lambda batch, time: losses_of[batch] / time)
    assert order == "abcbdefdg"
    assert losses == [1, 5, 2, 2.5, 4, 3, 0, 2, 9]


def test_a_replay_is_no_candidate_however_bad_it_went():
    losses_of = {"a": 3, "b": 1, "c": 2, "d": 1}
    order, _ = seen("abcd", 2, lambda batch, time: losses_of[batch] if time == 1 else 100)
    assert order == "abacdc"


def test_zero_gives_the_batches_alone():
    assert seen("abcd", 0, lambda batch, time: 1)[0] == "abcd"


def test_one_gives_every_batch_twice():
    assert seen("abc", 1, lambda batch, time: 1)[0] == "aabbcc"


def test_of_equal_losses_the_first_is_replayed_negative_ones_too():
    assert seen("abc", 3, lambda batch, time: -1)[0] == "abca"


@pytest.mark.parametrize(("count", "every", "given"), [(9, 10, 9), (10, 10, 11), (25, 10, 27)])
def test_only_full_rounds_are_replayed(count, every, given):
    letters = "abcdefghijklmnopqrstuvwxyz"[:count]
    assert len(seen(letters, every, lambda batch, time: 1)[0]) == given


@pytest.mark.parametrize("every", [0, 1, 2, 3, 4])
def test_an_epoch_goes_on_after_any_batch_as_if_it_had_not_stopped(every):
    losses_of = {"a": 4, "b": 5, "c": 5, "d": 1, "e": 3, "f": 0, "g": 9}
    whole, losses = seen("abcdefg", every, lambda batch, time: losses_of[batch] / time)
    for stop in range(len(whole) + 1):
        so_far = losses[:stop]
        fresh, worst = round_so_far(so_far, every)
        rest = with_replays(
            "abcdefg"[fresh:], so_far, every, None if worst is None else "abcdefg"[worst]
        )
        order = whole[:stop]
        for batch in rest:
            order += batch
            so_far.append(losses_of[batch] / order.count(batch))
        assert (order, so_far) == (whole, losses), stop


def test_the_worst_of_a_round_under_way_is_known_by_its_losses():
    assert round_so_far([5, 7, 7], 4) == (3, 1)
    assert round_so_far([1, 2, 9, 3], 2) == (3, 2)  # the third was a replay
    assert round_so_far([1, 2, 9], 2) == (2, None)
    assert round_so_far([1, 2, 9], 0) == (3, None)


def test_a_loss_that_is_not_appended_is_noticed():
    with pytest.raises(ValueError, match="append the loss of every batch"):
        list(with_replays("ab", [], 2))
