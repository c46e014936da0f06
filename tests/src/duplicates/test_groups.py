import networkx as nx
import numpy as np
import pytest

from src.duplicates.groups import (
    count_leaks,
    describe_leaks,
    join_groups,
    number_clusters,
    warn_of_cluster,
)

NO_PAIRS = np.empty((0, 2), np.int64)


def test_a_pair_joins_its_groups_under_the_smaller_name():
    assert join_groups(["b", "a", "c", "b"], np.array([[0, 1]])) == ["a", "a", "c", "a"]


def test_a_chain_of_pairs_and_groups_is_one_group():
    own = ["x", "y", "y", "z", "w"]  # 0 ~ 1, which is of one group with 2, and 2 ~ 3
    assert join_groups(own, np.array([[0, 1], [2, 3]])) == ["x", "x", "x", "x", "w"]


def test_without_pairs_every_image_keeps_its_group():
    assert join_groups(["b", "", "a", "b"], NO_PAIRS) == ["b", "", "a", "b"]
    assert join_groups([], NO_PAIRS) == []


def test_group_names_are_compared_as_text():
    assert join_groups(["9", "10", "01"], np.array([[0, 1]])) == ["10", "10", "01"]


@pytest.mark.parametrize("seed", range(20))
def test_groups_are_the_connected_components_of_images_and_groups(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    own = [f"g{group}" for group in rng.integers(0, count, count)]
    pairs = rng.integers(0, count, (rng.integers(0, count), 2))
    graph = nx.Graph([(image, group) for image, group in enumerate(own)])
    graph.add_edges_from(pairs.tolist())
    groups = join_groups(own, pairs)
    for component in nx.connected_components(graph):
        names = {thing for thing in component if isinstance(thing, str)}
        images = [thing for thing in component if not isinstance(thing, str)]
        assert {groups[image] for image in images} == {min(names)}


def test_clusters_are_numbered_by_their_first_images():
    pairs = np.array([[5, 3], [0, 6], [3, 1]])
    assert number_clusters(7, pairs).tolist() == [0, 1, -1, 1, -1, 1, 0]
    assert number_clusters(2, NO_PAIRS).tolist() == [-1, -1]
    assert number_clusters(0, NO_PAIRS).tolist() == []


# three copies of one image in train and one in val; twins in val; train and test share a pair
SPLITS = np.array(["train"] * 5 + ["val"] * 4 + ["test"] * 2)
CLUSTERS = np.array([0, 0, 0, 2, -1, 0, 1, 1, -1, 2, -1])
GROUPS = np.array(["a", "a", "a", "c", "d", "a", "b", "b", "d", "c", "e"])


def test_leaks_are_counted_by_split():
    assert count_leaks(SPLITS, GROUPS, CLUSTERS) == {
        "clusters": 3,
        "largest_cluster": 4,
        "train.largest_cluster": 3,
        "train.images": 5,
        "train.duplicated": 3,
        "val.images": 4,
        "val.duplicated": 2,
        "val.in_train": 1,
        "val.in_train_share": 0.25,
        "val.clean": 2,  # not the copy of a, nor the image of group d
        "test.images": 2,
        "test.duplicated": 0,
        "test.in_train": 1,
        "test.in_train_share": 0.5,
        "test.clean": 1,
    }
    assert describe_leaks(count_leaks(SPLITS, GROUPS, CLUSTERS)) == (
        "1 of 4 val images (25.0 %) and 1 of 2 test images (50.0 %) are near-duplicates of train "
        "images; 3 of 5 train images have near-duplicates in train"
    )


def test_a_split_without_images_has_no_share():
    train = SPLITS == "train"
    counts = count_leaks(SPLITS[train], GROUPS[train], CLUSTERS[train])
    assert counts["val.images"] == counts["val.in_train"] == counts["val.clean"] == 0
    assert counts["val.in_train_share"] is None
    assert describe_leaks(counts) == "3 of 5 train images have near-duplicates in train"


def test_what_was_not_looked_for_is_not_counted_as_none_found():
    counts = count_leaks(SPLITS, GROUPS, None)
    known = {key: count for key, count in counts.items() if count is not None}
    assert known == {
        "train.images": 5,
        "val.images": 4,
        "val.clean": 2,
        "test.images": 2,
        "test.clean": 1,
    }
    assert counts.keys() == count_leaks(SPLITS, GROUPS, CLUSTERS).keys()
    assert "not looked for" in describe_leaks(counts)


def test_images_that_are_alone_make_no_leak():
    counts = count_leaks(np.array(["train", "val"]), np.array(["a", "b"]), np.array([-1, -1]))
    assert counts["clusters"] == counts["largest_cluster"] == counts["val.in_train"] == 0
    assert counts["train.duplicated"] == 0
    assert counts["val.clean"] == 1


@pytest.mark.parametrize(("clusters", "warned"), [([0, 0, 0, -1], True), ([0, 0, -1, -1], False)])
def test_a_cluster_that_holds_most_of_train_is_warned_of(clusters, warned):
    splits = np.array(["train"] * 4 + ["val"] * 3)
    clusters = np.array([*clusters, 0, 0, 0])
    counts = count_leaks(splits, splits, clusters)
    warning = warn_of_cluster(counts)
    assert (warning is not None) is warned
    if warning:
        assert warning.startswith("3 of 4 train images are in one cluster of near-duplicates")
        assert "find_duplicates.local_difference" in warning


def test_without_clusters_there_is_nothing_to_warn_of():
    splits = np.array(["train", "val"])
    assert warn_of_cluster(count_leaks(splits, splits, None)) is None
    assert warn_of_cluster(count_leaks(splits, splits, np.array([-1, -1]))) is None
    val = np.array(["val", "val"])
    assert warn_of_cluster(count_leaks(val, val, np.array([0, 0]))) is None
