from itertools import combinations

import cv2
import numpy as np
import pytest
from scipy.fft import idctn

from src.duplicates.groups import number_clusters
from src.duplicates.near_duplicates import CONTRAST, Pairs, near_hashes
from src.duplicates.near_duplicates import find_pairs as find_pairs_of_hashes
from src.duplicates.perceptual_hash import SIDE, hash_views, shrink, view


def find_pairs(thumbnails, *, distance, difference):
    """Find pairs that are near on average, wherever they differ."""
    limits = {"distance": distance, "difference": difference, "local_difference": 0}
    return find_pairs_of_hashes(thumbnails, hash_views(thumbnails), **limits)


def random_hashes(rng, count):
    return rng.integers(0, 2**64, count, dtype=np.uint64)


def change_bits(rng, hashes, bits):
    """Flip up to so many bits of each hash."""
    for _ in range(bits):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64))
    return hashes


def all_near(queries, hashes, distance):
    return np.argwhere(np.bitwise_count(queries[:, None] ^ hashes) <= distance).tolist()


def looked_up(queries, hashes, distance):
    blocks = [np.stack(block, axis=1) for block in near_hashes(queries, hashes, distance)]
    return sorted(pair for block in blocks for pair in block.tolist())


def picture(seed, side=96):
    rng = np.random.default_rng(seed)
    image = sum(
        cv2.resize(rng.standard_normal((n, n)), (side, side), interpolation=cv2.INTER_CUBIC)
        for n in (3, 6, 12, 24)
    )
    return np.clip(np.rint(128 + 30 * image), 0, 255).astype(np.uint8)


def photographed_again(rng, image):
    """The image a little brighter or darker, compressed anew."""
    image = np.clip(np.rint(image * rng.uniform(0.95, 1.05)), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    return cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_GRAYSCALE)


def rows(pairs):
    return list(zip(*(column.tolist() for column in pairs), strict=True))


def clusters(pairs, count):
    return number_clusters(count, np.stack([pairs.first, pairs.second], axis=1)).tolist()


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 7, 10, 16])
def test_the_index_finds_what_a_comparison_of_all_pairs_finds(distance):
    rng = np.random.default_rng(distance)
    scattered, centres = random_hashes(rng, 100), random_hashes(rng, 4)
    near = [change_bits(rng, centres.repeat(10), bits) for bits in (distance, distance + 1, 20)]
    hashes = rng.permutation(np.concatenate([scattered, centres, *near]))
    queries = np.concatenate([rng.permutation(hashes)[:60], change_bits(rng, centres, 5)])
    expected = all_near(queries, hashes, distance)
    assert len(expected) > len(queries)
    assert looked_up(queries, hashes, distance) == expected


def test_the_farthest_hashes_are_found_however_their_bits_are_spread():
    rng = np.random.default_rng(0)
    flipped = [rng.permutation(64)[:10].tolist() for _ in range(300)]
    queries = np.array([sum(1 << bit for bit in bits) for bits in flipped], np.uint64)
    none = np.zeros(1, np.uint64)
    assert looked_up(queries, none, 10) == [[query, 0] for query in range(300)]
    assert looked_up(queries, none, 9) == []


def test_many_equal_hashes_and_many_queries_are_handed_out_in_parts(monkeypatch):
    monkeypatch.setattr("src.duplicates.near_duplicates.CANDIDATES", 50)
    monkeypatch.setattr("src.duplicates.near_duplicates.QUERIES", 7)
    rng = np.random.default_rng(0)
    hashes = change_bits(rng, np.zeros(40, np.uint64), 3)
    assert looked_up(hashes, hashes, 4) == all_near(hashes, hashes, 4)


@pytest.mark.parametrize(("queries", "hashes"), [(0, 3), (3, 0), (0, 0)])
def test_nothing_is_near_nothing(queries, hashes):
    assert looked_up(np.zeros(queries, np.uint64), np.zeros(hashes, np.uint64), 16) == []


def test_copies_are_found_in_every_view_with_the_view_that_turns_one_into_the_other():
    rng = np.random.default_rng(0)
    images = [picture(seed) for seed in range(16)]
    copies = [photographed_again(rng, view(images[n], n % 8)) for n in range(16)]
    pairs = find_pairs(
        np.array([shrink(image) for image in images + copies]), distance=10, difference=12.0
    )
    assert pairs.first.tolist() == list(range(16))
    assert pairs.second.tolist() == list(range(16, 32))
    assert pairs.view.tolist() == [n % 8 for n in range(16)]
    assert pairs.distance.max() <= 4
    assert pairs.difference.max() < 4


def test_distance_and_difference_are_those_of_hashes_and_even_thumbnails():
    rng = np.random.default_rng(1)
    one = shrink(picture(0))
    other = shrink(photographed_again(rng, view(picture(0), 3)))
    pairs = find_pairs(np.stack([one, other]), distance=10, difference=12.0)
    hashes = hash_views(np.stack([one, other]))
    even = [CONTRAST * (x - x.mean()) / x.std() for x in (view(one, 3), other)]
    assert rows(pairs)[0][:3] == (0, 1, 3)
    assert pairs.distance[0] == np.bitwise_count(hashes[0, 3] ^ hashes[1, 0])
    assert pairs.difference[0] == pytest.approx(np.abs(even[0] - even[1]).mean(), abs=1 / 8)


def test_a_pair_farther_than_distance_or_difference_is_none():
    thumbnail = shrink(picture(0))
    rng = np.random.default_rng(0)
    other = np.clip(thumbnail + rng.normal(0, 8, (SIDE, SIDE)), 0, 255).astype(np.uint8)
    thumbnails = np.stack([thumbnail, other])
    [(_, _, _, bits, gap)] = rows(find_pairs(thumbnails, distance=16, difference=50.0))
    assert bits > 0
    assert len(find_pairs(thumbnails, distance=bits, difference=gap).first) == 1
    assert len(find_pairs(thumbnails, distance=bits - 1, difference=gap).first) == 0
    assert len(find_pairs(thumbnails, distance=bits, difference=gap - 0.01).first) == 0


def test_equal_hashes_of_other_pictures_are_no_pair_but_each_finds_its_own_copy():
    rng = np.random.default_rng(0)
    low, high = np.zeros((2, SIDE, SIDE))
    low[:9, :9], high[20, 20] = rng.choice([-6, 6], (9, 9)), 60 * SIDE
    dark = 110 + idctn(low, norm="ortho") * 8
    light = dark + idctn(high, norm="ortho")  # finer than the hash sees
    thumbnails = np.rint([dark, light, light, dark, light]).clip(0, 255).astype(np.uint8)
    hashes = hash_views(thumbnails)[:, 0]
    assert np.bitwise_count(hashes[0] ^ hashes[1]) == 0
    pairs = find_pairs(thumbnails, distance=0, difference=12.0)
    assert [row[:2] for row in rows(pairs)] == [(0, 3), (1, 2), (1, 4)]


def test_many_equal_images_give_as_few_pairs_as_join_them():
    thumbnails = np.repeat(shrink(picture(0))[None], 3000, axis=0)
    thumbnails[1::2] = view(thumbnails[1::2], 6)
    pairs = find_pairs(thumbnails, distance=10, difference=12.0)
    assert pairs.first.tolist() == [0] * 2999
    assert pairs.second.tolist() == list(range(1, 3000))
    assert pairs.view.tolist() == [6, 0] * 1499 + [6]


def test_many_images_alike_with_hashes_of_their_own_give_a_pair_less_than_images():
    rng = np.random.default_rng(0)
    thumbnail = shrink(picture(0)).astype(float)
    noisy = thumbnail + rng.normal(0, 14, (400, SIDE, SIDE))
    thumbnails = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    assert len(np.unique(hash_views(thumbnails)[:, 0])) > 200
    pairs = find_pairs(thumbnails, distance=16, difference=30.0)
    assert len(pairs.first) == 399
    assert set(clusters(pairs, 400)) == {0}


def compared(thumbnails, distance, difference):
    """Return the clusters by a comparison of all pairs in all views."""
    hashes = hash_views(thumbnails)
    even = [CONTRAST * (x - x.mean()) / x.std() for x in thumbnails.astype(float)]
    pairs = [
        (a, b)
        for a, b in combinations(range(len(thumbnails)), 2)
        for number in range(8)
        if np.bitwise_count(hashes[a, number] ^ hashes[b, 0]) <= distance
        and np.abs(view(even[a], number) - even[b]).mean() <= difference
    ]
    return number_clusters(len(thumbnails), np.array(pairs)).tolist()


def noisy_views(seed, count, noise):
    rng = np.random.default_rng(seed)
    bases = [shrink(picture(s)).astype(float) for s in range(8)]
    thumbnails = [
        view(bases[rng.integers(8)], int(rng.integers(8)))
        + rng.normal(0, rng.uniform(0, noise), (SIDE, SIDE))
        for _ in range(count)
    ]
    return np.rint(thumbnails).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_of_unequal_hashes_are_those_of_a_comparison_of_all_pairs(seed):
    thumbnails = noisy_views(seed, 200, 24)
    least = hash_views(thumbnails).min(axis=1)
    thumbnails = thumbnails[np.sort(np.unique(least, return_index=True)[1])]
    pairs = find_pairs(thumbnails, distance=8, difference=14.5)
    found = clusters(pairs, len(thumbnails))
    assert found == compared(thumbnails, 8, 14.5)
    assert -1 in found
    assert len(pairs.first) == sum(c >= 0 for c in found) - (max(found) + 1) > 10


@pytest.mark.parametrize("seed", range(3))
def test_equal_hashes_hide_no_pair_that_is_not_only_just_near(seed):
    thumbnails = noisy_views(seed, 60, 24)
    found = clusters(find_pairs(thumbnails, distance=8, difference=14.5), 60)
    for finer, coarser in (
        (compared(thumbnails, 8, 0.75 * 14.5), found),
        (found, compared(thumbnails, 8, 14.5)),
    ):
        together = {(f, c) for f, c in zip(finer, coarser, strict=True) if f >= 0}
        assert len(together) == len({f for f, _ in together})
        assert -1 not in {c for _, c in together}


def test_blank_images_are_near_duplicates_of_none_even_if_they_are_equal():
    white = np.full((SIDE, SIDE), 255, np.uint8)
    shown = shrink(picture(0))
    pairs = find_pairs(np.stack([white, shown, white, shown]), distance=16, difference=255.0)
    assert [row[:2] for row in rows(pairs)] == [(1, 3)]


def test_low_contrast_is_no_likeness():
    images = [shrink(100 + picture(seed) // 16) for seed in range(20)]
    assert np.abs(np.diff(images, axis=0).astype(np.int8)).mean() < 4  # grey levels
    assert rows(find_pairs(np.array(images), distance=16, difference=12.0)) == []


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_have_no_pairs(count):
    thumbnails = np.repeat(shrink(picture(0))[None], count, axis=0)
    pairs = find_pairs(thumbnails, distance=10, difference=12.0)
    assert isinstance(pairs, Pairs)
    assert [len(column) for column in pairs] == [0] * 5


def test_the_size_of_the_parts_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    thumbnails = np.concatenate(
        [
            np.clip(shrink(picture(s)) + rng.normal(0, 6, (6, SIDE, SIDE)), 0, 255).astype(np.uint8)
            for s in range(6)
        ]
    )
    whole = find_pairs(thumbnails, distance=10, difference=12.0)
    monkeypatch.setattr("src.duplicates.near_duplicates.PAIRS", 1)
    monkeypatch.setattr("src.duplicates.near_duplicates.QUERIES", 3)
    monkeypatch.setattr("src.duplicates.near_duplicates.CANDIDATES", 5)
    parts = find_pairs(thumbnails, distance=10, difference=12.0)
    assert clusters(whole, 36) == clusters(parts, 36)
    assert len(whole.first) == len(parts.first)
