import numpy as np
import pytest

from src.base.errors import InputError
from src.formats.archive import write_archive
from src.training.labelled_images import LabelledImages, Sources, open_sources
from src.training.targets import plane_names, training_planes

PLANES = plane_names(["mask"])


def labelled(archives, pseudo=None, planes=PLANES, **options):
    names, _, (photos, instances, weights) = archives
    sources = Sources({"train": photos}, instances, weights, pseudo)
    return LabelledImages(sources, names, planes=planes, clahe=0.0, **options)


def test_an_image_comes_with_its_planes(archives):
    _, content, _ = archives
    image, planes = labelled(archives)[2]
    np.testing.assert_array_equal(image, content["images"][2])
    instances, weights = content["instances"][2], content["weights"][2]
    np.testing.assert_array_equal(planes, training_planes(instances, weights, None, PLANES))
    np.testing.assert_array_equal(labelled(archives).instances(2), instances)


def test_pseudo_labels_stand_in_for_all_labels_of_their_images(archives, pseudo):
    names, _, _ = archives
    content, labels = pseudo
    planes = plane_names(["mask"], soft=True)
    images = labelled(archives, labels, planes)
    maps = [content[kind][names[1]] for kind in ("instances", "weights", "soft")]
    np.testing.assert_array_equal(images.planes(1), training_planes(*maps, planes))
    np.testing.assert_array_equal(images.instances(1), maps[0])
    np.testing.assert_array_equal(images[2][1][..., :4], labelled(archives)[2][1])


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_kept_is_not_read_again(archives, mixed):
    images = labelled(archives, cache_mb=1.0, mixed=mixed)
    first = [images[index] for index in range(6)]
    assert sum(array.nbytes for array in images.kept.values()) == 6 * 40 * 30 * (7 + 2 * mixed)
    images.sources = None
    for index in range(6):
        assert images.is_kept(index)
        for kept, read in zip(images[index], first[index], strict=True):
            assert kept is read


def test_kept_arrays_cannot_be_written_to(archives):
    images = labelled(archives, cache_mb=1.0, mixed=True)
    images[0], images.instances(1)
    assert {kind for kind, _ in images.kept} == {"image", "instances", "planes"}
    assert not any(array.flags.writeable for array in images.kept.values())


def test_without_room_nothing_is_kept(archives):
    images = labelled(archives)
    assert images[0][0].flags.writeable
    assert images.kept == {}
    assert not images.is_kept(0)


def test_archives_of_test_are_opened_only_for_pseudo_labels(archives, pseudo, tmp_path):
    names, content, _ = archives
    prepared = tmp_path / "prepared"
    for kind, folder in (("images", "train"), ("instances", "labels/train")):
        pairs = zip(names, content[kind], strict=True)
        write_archive(prepared / folder / f"{kind}.zip", pairs)
    plain = open_sources(prepared, tmp_path / "weights", None)
    assert set(plain.photos) == {"train"}
    assert not plain.soft
    labels = tmp_path / "labels"
    write_archive(labels / "instances.zip", pseudo[0]["instances"].items())
    write_archive(labels / "weight_maps.zip", pseudo[0]["weights"].items())
    with pytest.raises(InputError, match="test/images.zip: no such archive"):
        open_sources(prepared, tmp_path / "weights", labels)
    write_archive(prepared / "test" / "images.zip", [])
    assert set(open_sources(prepared, tmp_path / "weights", labels).photos) == {"train", "test"}
    assert not open_sources(prepared, tmp_path / "weights", labels).soft
    write_archive(labels / "soft.zip", pseudo[0]["soft"].items())
    assert open_sources(prepared, tmp_path / "weights", labels).soft
