import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from src.formats.stored_bands import encode_bands
from src.label_maps.distances import encode_distances, sqrt_area, two_nearest_distances
from src.label_maps.labels import IGNORE
from src.networks.contrast import equalise
from src.networks.positions import positions_of
from src.predicting import prediction
from src.predicting.params import PredictParams
from src.training.augmentation import SETS, centre_crop, left_out_of_bands, training_transform
from src.training.crops import TrainingCrops, crops_by_use, padded, partners
from src.training.inside_distances import inside_distances
from src.training.labelled_images import MIB, LabelledImages, Sources
from src.training.targets import plane_names, training_target
from tests.sections import PARAMS, section, training

ALL_HEADS = ["mask", "border", "contact", "boundary_distance", "embedding", "empty"]


def crops(archives, transform=None, *, heads=("mask",), soft=False, **changes):
    names, _, (photos, instances, weights) = archives
    options = {"crop_size": 16, "padding": "replicate", "resize": 1.0, "clahe": 0.0} | changes
    mixing = {key: options.get(key, 0.0) for key in ("mosaic", "copy_paste")}
    images = LabelledImages(
        Sources({"train": photos}, instances, weights, options.get("pseudo")),
        names,
        planes=plane_names(heads, soft=soft),
        clahe=options["clahe"],
        mixed=any(mixing.values()),
        cache_mb=options.get("cache_mb", 0.0),
    )
    return TrainingCrops(
        images,
        numbers=np.arange(2 * len(names), dtype=np.float32).reshape(-1, 2),
        transform=transform or centre_crop(options["crop_size"]),
        model=section(
            "model", resize=options["resize"], extra_channels=options.get("extra_channels", [])
        ),
        train=section("train", crop_size=options["crop_size"], padding=options["padding"]),
        max_distance=20,
        **mixing,
    )


def heavy(size):
    values = SETS["heavy"] | {"grid": 0.5, "elastic": 0.5, "noise": 0.5}
    augment = section("augment", **values, set="custom")
    return training_transform(augment, allowed="d4", crop_size=size)


def test_a_crop_is_the_image_with_its_target_weight_planes_and_numbers(archives):
    _, content, _ = archives
    image, planes, numbers = crops(archives, crop_size=8)[1, 0]
    middle = (slice(16, 24), slice(11, 19))
    np.testing.assert_array_equal(image.permute(1, 2, 0), content["images"][1][middle])
    np.testing.assert_array_equal(planes[0], content["instances"][1][middle] > 0)
    np.testing.assert_array_equal(planes[1:].permute(1, 2, 0), content["weights"][1][middle])
    assert image.dtype == planes.dtype == torch.uint8
    assert numbers.dtype == torch.float32
    assert numbers.tolist() == [2, 3]


def test_the_planes_of_the_heads_are_those_of_the_whole_instance_map(archives):
    _, content, _ = archives
    planes = crops(archives, heads=ALL_HEADS, crop_size=30)[2, 0][1].numpy()
    instances = content["instances"][2]
    middle = slice(5, 35)
    np.testing.assert_array_equal(planes[4:6], inside_distances(instances)[:, middle])
    labels = planes[6].astype(int) + 256 * planes[7].astype(int)
    np.testing.assert_array_equal(labels, instances[middle])


@pytest.mark.parametrize("heads", [["mask"], ["mask", "border"], ALL_HEADS])
@pytest.mark.parametrize("resize", [1.0, 1.5])
def test_all_planes_come_through_every_transform_together(archives, heads, resize):
    _, content, _ = archives
    data = crops(archives, heavy(48), heads=heads, crop_size=48, resize=resize)
    everything = np.dstack(
        [
            training_target(content["instances"][0]),
            content["weights"][0],
            *inside_distances(content["instances"][0]),
            content["instances"][0] & 255,
            content["instances"][0] >> 8,
        ]
    )
    names = plane_names(heads)
    used = [plane_names(ALL_HEADS).index(name) for name in names]
    known = set(map(tuple, everything[..., used].reshape(-1, len(used)).tolist()))
    for seed in range(10):
        planes = data[0, seed][1].flatten(1).T
        assert planes.shape[1] == len(names)
        kept = planes[planes[:, 0] != 255]
        assert len(kept) > 100
        assert set(map(tuple, kept.tolist())) <= known


def test_a_crop_depends_on_its_index_and_seed_alone(archives):
    def drawn(order):
        data = crops(archives, heavy(16), resize=1.5, mosaic=0.5, copy_paste=0.5, heads=ALL_HEADS)
        return {draw: data[draw] for draw in order}

    draws = [(index, seed) for index in range(3) for seed in range(5, 11)]
    forward, backward = drawn(draws), drawn(draws[::-1])
    for draw in draws:
        assert all(map(torch.equal, forward[draw], backward[draw]))
    assert len({forward[draw][0].numpy().tobytes() for draw in draws}) == len(draws)


def test_loader_processes_give_the_crops_of_one_process(archives):
    data = crops(archives, heavy(16), mosaic=0.5, copy_paste=0.5)
    draws = [(index, seed) for index in range(6) for seed in (1, 2)]
    alone, shared = (
        list(DataLoader(data, 4, sampler=draws, num_workers=workers)) for workers in (0, 2)
    )
    for first, second in zip(alone, shared, strict=True):
        assert all(map(torch.equal, first, second))


def test_contrast_is_equalised_on_the_image_as_stored(archives):
    _, content, _ = archives
    image = crops(archives, crop_size=30, clahe=2.0)[3, 0][0]
    expected = equalise(content["images"][3], 2.0)[5:35]
    np.testing.assert_array_equal(image.permute(1, 2, 0), expected)


@pytest.mark.parametrize("mix", [{"mosaic": 1.0}, {"copy_paste": 1.0}])
def test_the_planes_of_a_mixed_image_are_measured_on_it(archives, mix):
    size = 30
    data = crops(archives, heads=ALL_HEADS, crop_size=size, **mix)
    changed = ignored = 0
    for seed in range(12):
        planes = data[0, seed][1].numpy()
        low, high = data.whole(0, seed)[1][..., 6:].transpose(2, 0, 1)
        instances, rows = low + np.uint16(256) * high, slice(0, size)
        if "copy_paste" in mix:
            rows = slice(5, 35)  # the centre of 40 rows
        objects = np.where(instances == IGNORE, 0, instances).astype(np.uint16)
        expected = [
            training_target(instances),
            *encode_distances(two_nearest_distances(objects, 20)),
            sqrt_area(objects),
            *inside_distances(instances),
        ]
        np.testing.assert_array_equal(planes[:6], np.stack(expected)[:, rows])
        labels = planes[6].astype(int) + 256 * planes[7].astype(int)
        np.testing.assert_array_equal(labels, instances[rows])
        ignored += (planes[0] == 255).any()
        np.testing.assert_array_equal(planes[0] == 255, labels == IGNORE)
        changed += not np.array_equal(
            planes, crops(archives, heads=ALL_HEADS, crop_size=size)[0, 0][1]
        )
    assert changed >= 8  # all objects may be left out
    assert ignored or "copy_paste" in mix


def test_mixing_brings_in_all_the_other_images_and_not_the_image_itself():
    drawn = [partners(6, 2, np.random.default_rng(seed)) for seed in range(30)]
    assert set().union(*drawn) == {0, 1, 3, 4, 5}
    assert all(len(set(four)) == 4 for four in drawn)


@pytest.mark.parametrize("mix", ["mosaic", "copy_paste"])
def test_images_are_mixed_with_their_probability(archives, mix):
    plain, data = crops(archives), crops(archives, **{mix: 0.3})
    still = plain[0, 0]
    mixed = sum(not torch.equal(data[0, seed][1], still[1]) for seed in range(200))
    assert mixed == pytest.approx(60, abs=30)


def test_a_single_image_is_mixed_with_itself(archives):
    names, content, parts = archives
    data = crops((names[:1], content, parts), mosaic=1.0, copy_paste=1.0)
    assert data[0, 3][0].shape == (3, 16, 16)


@pytest.mark.parametrize("resize", [0.4, 0.7, 1.0, 1.3, 3.0])
def test_a_mosaic_fills_the_crop_at_any_scale(archives, resize):
    _, planes, _ = crops(archives, mosaic=1.0, resize=resize, crop_size=17)[0, 1]
    assert planes.shape == (4, 17, 17)


def test_small_images_are_padded_with_their_edge_and_ignored_there():
    image, planes = np.array([[[10] * 3, [20] * 3]], np.uint8), np.ones((1, 2, 8), np.uint8)
    image, planes = padded(image, planes, 4, "replicate")
    assert image[..., 0].tolist() == [[10, 10, 20, 20]] * 4
    expected = np.full((4, 4), 255)
    expected[1, 1:3] = 1
    for plane in range(8):
        np.testing.assert_array_equal(planes[..., plane], expected)


def test_small_images_are_mirrored_where_asked():
    image = np.repeat(np.array([[10, 20, 30]], np.uint8)[..., None], 3, axis=2)
    image, planes = padded(image, np.ones((1, 3, 4), np.uint8), 7, "reflect")
    assert image[0, :, 0].tolist() == [30, 20, 10, 20, 30, 20, 10]
    assert planes[3, :, 0].tolist() == [255, 255, 1, 1, 1, 255, 255]


def test_large_images_are_not_padded():
    image, planes = np.zeros((5, 9, 3), np.uint8), np.zeros((5, 9, 4), np.uint8)
    assert padded(image, planes, 5, "replicate")[0] is image


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_is_the_same_crops_in_the_same_order_with_any_number_of_threads(archives, threads):
    data = crops(archives, heavy(16))
    data.transforms = [copy.deepcopy(data.transforms[0]) for _ in range(threads)]
    draws = [(index, 7 * index) for index in (4, 0, 5, 2, 1)]
    alone = [data[draw] for draw in draws]
    for together, crop in zip(data.__getitems__(draws), alone, strict=True):
        for part, same in zip(together, crop, strict=True):
            assert torch.equal(part, same)
    assert not torch.equal(alone[0][0], alone[1][0])


@pytest.mark.parametrize("index", [1, 2])
def test_pseudo_labels_stand_in_for_the_labels_of_their_images(archives, pseudo, index):
    names, content, _ = archives
    maps = {kind: arrays[index] for kind, arrays in content.items()}
    if index == 1:
        maps |= {kind: arrays[names[index]] for kind, arrays in pseudo[0].items()}
    image, planes, _ = crops(archives, crop_size=30, heads=ALL_HEADS, pseudo=pseudo[1])[index, 0]
    rows = slice(5, 35)
    np.testing.assert_array_equal(image.permute(1, 2, 0), content["images"][index][rows])
    np.testing.assert_array_equal(planes[0], training_target(maps["instances"])[rows])
    np.testing.assert_array_equal(planes[1:4].permute(1, 2, 0), maps["weights"][rows])
    np.testing.assert_array_equal(planes[4:6], inside_distances(maps["instances"])[:, rows])


@pytest.mark.parametrize("heads", [["mask"], ALL_HEADS])
def test_a_soft_target_is_the_probability_or_else_the_target(archives, pseudo, heads):
    names, content, _ = archives
    data = crops(archives, crop_size=30, heads=heads, pseudo=pseudo[1], soft=True)
    hard = crops(archives, crop_size=30, heads=heads, pseudo=pseudo[1])
    rows, place = slice(5, 35), plane_names(heads, soft=True).index("soft")
    assert place == len(hard[1, 0][1]) == len(data[1, 0][1]) - 1
    for index in (1, 2):
        assert torch.equal(data[index, 0][1][:place], hard[index, 0][1])
    np.testing.assert_array_equal(data[1, 0][1][place], pseudo[0]["soft"][names[1]][rows])
    labelled = data[2, 0][1].numpy()
    np.testing.assert_array_equal(labelled[place], np.where(labelled[0] == 1, 255, 0))
    without = crops(archives, pseudo=pseudo[1]._replace(soft=None), crop_size=30, soft=True)
    np.testing.assert_array_equal(without[1, 0][1][-1] == 255, without[1, 0][1][0] == 1)


@pytest.mark.parametrize("mix", [{"mosaic": 1.0}, {"copy_paste": 1.0}])
def test_a_soft_target_is_mixed_with_its_image(archives, pseudo, mix):
    names, content, parts = archives
    soft = {index: np.where(one > 0, 255, 0) for index, one in enumerate(content["instances"])}
    soft |= {index: pseudo[0]["soft"][names[index]] for index in (1, 4)}
    told = [np.dstack([soft[i]] * 3).astype(np.uint8) for i in range(6)]  # images that show it
    write_archive(parts[0].path.parent / "told", zip(names, told, strict=True))
    seen = (names, content, [ImageArchive(parts[0].path.parent / "told"), *parts[1:]])
    data = crops(seen, crop_size=30, pseudo=pseudo[1], soft=True, **mix)
    changed = 0
    for seed in range(8):
        image, planes, _ = data[1, seed]
        known = planes[0] != 255
        assert torch.equal(image[0][known], planes[-1][known])
        changed += not np.array_equal(image[0], soft[1][5:35])
    assert changed >= 5


EVERYTHING = {"heads": ALL_HEADS, "mosaic": 0.4, "copy_paste": 0.4, "clahe": 2.0}
DRAWS = [(index, seed) for seed in range(6) for index in range(6)]
COLOURS = ["CLAHE", "Equalize", "InvertImg", "Posterize", "RGBShift", "Sharpen", "Solarize"]
COLOURS += ["ChannelDropout", "CoarseDropout", "GridDropout", "PixelDropout", "RandomFog"]


def wild(size):
    """Everything that may be switched on, and what paints into its image."""
    free = [{"name": name, "p": 0.5} for name in COLOURS]
    values = SETS["heavy"] | {"grid": 0.5, "elastic": 0.5, "noise": 0.5, "transforms": free}
    augment = section("augment", **values, set="custom")
    return training_transform(augment, allowed="d4", crop_size=size)


@pytest.mark.parametrize("cache_mb", [pytest.param(0.02, marks=pytest.mark.slow), 1.0])
@pytest.mark.parametrize("changes", [{}, EVERYTHING, {"resize": 1.5, "crop_size": 48}], ids=str)
def test_what_is_kept_in_memory_changes_nothing(archives, pseudo, changes, cache_mb):
    changes = {"pseudo": pseudo[1], "soft": True} | changes
    transform = wild(changes.get("crop_size", 16))
    plain, data = (crops(archives, transform, **changes, cache_mb=mb) for mb in (0, cache_mb))
    fresh = crops(archives, transform, **changes, cache_mb=1.0)
    for draw in DRAWS:
        for kept, read in zip(data[draw], plain[draw], strict=True):
            assert torch.equal(kept, read)
        fresh[draw[0], 7]
    assert plain.images.kept == {}
    assert data.images.kept
    for key, array in data.images.kept.items():  # as it was read, whatever has been done since
        np.testing.assert_array_equal(array, fresh.images.kept[key])


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=str)
def test_memory_stays_within_its_bound(archives, changes, threads):
    data = crops(archives, **changes, cache_mb=0.02)
    data.transforms = [copy.deepcopy(data.transforms[0]) for _ in range(threads)]
    for seed in range(4):
        data.__getitems__([(index, seed) for index in range(6)] * 2)
    used = sum(array.nbytes for array in data.images.kept.values())
    smallest = 40 * 30 * 2
    assert 0.02 * MIB - 4 * smallest < used <= 0.02 * MIB
    assert data.images.room == int(0.02 * MIB) - used
    assert all(array.base is None for array in data.images.kept.values())  # no larger one behind it


@pytest.mark.parametrize("factor", [0.4, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("clahe", [0.0, 2.0])
def test_a_network_predicts_from_the_very_pixels_that_it_learnt_from(archives, factor, clahe):
    names, content, _ = archives
    learnt, planes = crops(archives, resize=factor, clahe=clahe).whole(1, 0)
    assert learnt.shape[:2] == planes.shape[:2] == (round(40 * factor), round(30 * factor))
    seen = []

    def look(window):
        seen.append(window.permute(1, 2, 0).numpy())
        return {"mask": torch.zeros(window.shape[1:])}

    image = equalise(content["images"][1], clahe) if clahe else content["images"][1]
    image = torch.from_numpy(image.transpose(2, 0, 1).copy())
    params = predict_params(max_size=80, overlap=8)
    prediction._predict_scaled(look, image, factor, params, positions=False)
    (fed,) = seen
    np.testing.assert_array_equal(fed, learnt)


def test_the_pixels_of_no_change_of_size_are_those_stored(archives):
    _, content, _ = archives
    np.testing.assert_array_equal(crops(archives).whole(3, 0)[0], content["images"][3])


def test_images_are_parted_by_use_and_only_those_learnt_from_are_mixed_and_kept(archives):
    names, _, (photos, instances, weights) = archives
    uses = ["learn", "fold", "learn", "holdout", "drop", "learn"]
    table = pd.DataFrame({"name": names, "use": uses, "image_weight": 2.0})
    table["relative_depth"] = np.arange(6) / 5
    obeyed = training(train__crop_size=16, augment__mosaic=1.0, train__cache_mb=1)
    sources = Sources({"train": photos}, instances, weights)
    learnt, watched = crops_by_use(table, sources, obeyed, plane_names(["mask"]))
    assert learnt.images.names == [names[0], names[2], names[5]]
    assert {use: data.images.names for use, data in watched.items()} == {
        "fold": [names[1]],
        "holdout": [names[3]],
    }
    assert (learnt.mosaic, watched["fold"].mosaic) == (1.0, 0.0)
    assert (learnt.images.room, watched["fold"].images.room) == (MIB, 0)
    assert learnt[1, 0][2].tolist() == pytest.approx([0.4, 2.0])
    plain = crops(archives)
    assert torch.equal(watched["holdout"][0, 5][0], plain[3, 0][0])


def predict_params(**changes):
    return PredictParams.model_validate(PARAMS["predict"] | changes)


def positions_in(crop):
    """Return the position of rows and columns, (2, S, S), that a crop brings along."""
    return positions_of(crop[1][None, -4:])[0]


def test_a_crop_brings_its_positions_in_the_whole_image(archives):
    data = crops(archives, crop_size=8, extra_channels=["coordinates"])
    rows, columns = positions_in(data[1, 0])
    expected = torch.linspace(-1, 1, 40)[16:24], torch.linspace(-1, 1, 30)[11:19]
    torch.testing.assert_close(rows, expected[0][:, None].expand(8, 8), atol=1e-4, rtol=0)
    torch.testing.assert_close(columns, expected[1].expand(8, 8), atol=1e-4, rtol=0)
    plain = crops(archives, crop_size=8)[1, 0]
    assert torch.equal(data[1, 0][0], plain[0])
    assert torch.equal(data[1, 0][1][:-4], plain[1])


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
def test_a_padded_image_has_the_positions_that_prediction_gives_it(archives, padding):
    data = crops(archives, crop_size=48, padding=padding, extra_channels=["row_gradient"])
    image = torch.from_numpy(data.images.image(1).transpose(2, 0, 1).copy())
    seen = []

    def forward(images):
        seen.append(images)
        return {"mask": images[:, 0].float()}

    params = predict_params(views="none", padding=padding)
    prediction.predict_image(forward, image, params, stride=16, resize=1.0, positions=True)
    crop = torch.cat([data[1, 0][0], data[1, 0][1][-4:]])
    assert torch.equal(crop[:, :, 8:40], seen[0][0])  # 40 x 30 px became 48 x 32


def test_positions_go_where_the_pixels_go(archives):
    augment = section("augment", **SETS["none"] | {"views": "d4"})
    transform = training_transform(augment, allowed="d4", crop_size=16)
    data = crops(archives, transform, extra_channels=["coordinates"])
    image = data.images.image(3)
    for seed in range(8):
        crop = data[3, seed]
        rows, columns = positions_in(crop)
        at = ((rows + 1) * 39 / 2).round().int(), ((columns + 1) * 29 / 2).round().int()
        np.testing.assert_array_equal(crop[0].permute(1, 2, 0), image[at])


@pytest.fixture
def bands(archives, tmp_path):
    """The archives with images of five bands of 16 bits, each a multiple of the first."""
    names, content, (_, instances, weights) = archives
    rng, stored = np.random.default_rng(9), []
    for name in names:
        shape = instances.read(name).shape
        first = rng.integers(0, 3000, shape)
        image = np.dstack([first * factor for factor in range(1, 6)]).astype(np.uint16)
        stored.append((name, encode_bands(image, [0])))
    write_archive(tmp_path / "bands.zip", stored)
    return names, content, (ImageArchive(tmp_path / "bands.zip"), instances, weights)


@pytest.mark.parametrize("mixing", [{}, {"mosaic": 1.0}, {"copy_paste": 1.0}])
def test_all_bands_are_turned_cut_and_mixed_alike(bands, mixing):
    augment = section("augment", **SETS["none"] | {"views": "d4"}, set="custom")
    turned = training_transform(augment, allowed="d4", crop_size=32, bands=True)
    learnt = crops(bands, turned, crop_size=32, extra_channels=["coordinates"], **mixing)
    for index in range(len(learnt)):
        image, planes, _ = learnt[index, index]
        assert (image.dtype, image.shape) == (torch.int32, (5, 32, 32))
        assert planes.dtype == torch.uint8
        for factor in range(2, 6):
            assert torch.equal(image[factor - 1], image[0] * factor)
        assert image[4].max() > 255


def test_bands_go_through_all_that_changes_them(bands):
    values = SETS["heavy"] | {"grid": 1.0, "elastic": 1.0, "noise": 1.0, "blur": 1.0, "grey": 1.0}
    augment = section("augment", **values, set="custom")
    assert left_out_of_bands(augment) == ["hue", "saturation", "grey", "clahe"]
    transform = training_transform(augment, allowed="d4", crop_size=32, bands=True)
    learnt = crops(bands, transform, crop_size=32, resize=0.7)
    image, _, _ = learnt[0, 3]
    assert (image.dtype, image.shape) == (torch.int32, (5, 32, 32))
    assert image.min() >= 0
    assert 255 < image.max() < 65536
    assert torch.equal(image, learnt[0, 3][0])
    free = augment.model_copy(update={"transforms": [{"name": "RandomFog"}]})
    with pytest.raises(InputError, match="not made for images of bands"):
        training_transform(free, allowed="d4", crop_size=32, bands=True)
