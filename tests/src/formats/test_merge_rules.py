import pytest

from src.formats.merge_rules import MERGES, merge_of, refuse_unknown_merge


@pytest.mark.parametrize("merge", MERGES)
def test_probabilities_are_merged_as_asked_and_other_values_averaged(merge):
    refuse_unknown_merge(merge)
    for kind in ("mask", "border", "contact", "empty"):
        assert merge_of(kind, merge) == merge
    for kind in ("boundary_distance", "embedding", "view_spread"):
        assert merge_of(kind, merge) == "mean"


def test_an_unknown_rule_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'median' is unknown; known: mean, gmean, hmean, logit"):
        refuse_unknown_merge("median")
