import joblib
import numpy as np
import pytest

from src.base.errors import InputError
from src.formats.archive import ImageArchive, write_archive
from src.preparing.instances import IGNORE
from stages.compute_weight_maps import main
from tests.sections import write_plan


def weight_maps(tmp_path, instances, max_distance=63, scheduler="none"):
    """Run the stage on instance maps by name; return the path of what it writes."""
    maps = [(name, np.array(rows, np.uint16)) for name, rows in sorted(instances.items())]
    write_archive(tmp_path / "instances.zip", maps)
    sections = f"weight_maps: {{max_distance: {max_distance}}}\nworkers: {{scheduler: {scheduler}}}"
    (tmp_path / "params.yaml").write_text(sections)
    written = tmp_path / "out/weight_maps.zip"
    params = ["--params", str(tmp_path / "params.yaml")]
    write_plan(tmp_path / "plan", weight_maps={"max_distance": 7})
    main([str(tmp_path / "instances.zip"), str(tmp_path / "plan"), str(written), *params])
    return written


def planes_of(tmp_path, rows, max_distance=63):
    written = weight_maps(tmp_path, {"train/a": rows}, max_distance)
    planes = ImageArchive(written).read("train/a")
    assert planes.dtype == np.uint8
    return np.moveaxis(planes, 2, 0).tolist()


def test_planes_are_two_distances_in_quarter_pixels_and_the_object_size(tmp_path):
    row = [1, 0, 0, 0, 2]
    d1, d2, size = planes_of(tmp_path, [row] * 4)
    assert d1 == [[0, 4, 8, 4, 0]] * 4
    assert d2 == [[16, 12, 8, 12, 16]] * 4
    assert size == [[2, 0, 0, 0, 2]] * 4


def test_diagonals_are_rounded_to_a_quarter(tmp_path):
    d1, _, _ = planes_of(tmp_path, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert d1 == [[0, 4, 8], [4, 6, 9], [8, 9, 11]]  # 4 sqrt(2) = 5.7, 4 sqrt(5) = 8.9


def test_a_lone_object_has_no_second_nearest(tmp_path):
    d1, d2, _ = planes_of(tmp_path, [[1, 0, 0]])
    assert d1 == [[0, 4, 8]]
    assert d2 == [[252, 252, 252]]


def test_an_empty_image_is_far_from_everything(tmp_path):
    assert planes_of(tmp_path, [[0, 0]]) == [[[252, 252]], [[252, 252]], [[0, 0]]]


def test_ignored_pixels_are_no_object(tmp_path):
    d1, d2, size = planes_of(tmp_path, [[1, 0, IGNORE, IGNORE, 0, 2]])
    assert d1 == [[0, 4, 8, 8, 4, 0]]
    assert d2 == [[20, 16, 12, 12, 16, 20]]
    assert size == [[1, 0, 0, 0, 0, 1]]


def test_an_image_of_ignored_pixels_alone_is_empty(tmp_path):
    assert planes_of(tmp_path, [[IGNORE]]) == [[[252]], [[252]], [[0]]]


def test_distances_are_clipped_at_the_param(tmp_path):
    d1, d2, _ = planes_of(tmp_path, [[1, 0, 0, 0, 0, 0, 2]], max_distance=2)
    assert d1 == [[0, 4, 8, 8, 8, 4, 0]]
    assert d2 == [[8] * 7]


def test_a_clip_that_is_auto_is_the_planned_one(tmp_path):
    d1, d2, _ = planes_of(tmp_path, [[1] + [0] * 9], max_distance="auto")
    assert d1 == [[0, 4, 8, 12, 16, 20, 24, 28, 28, 28]]
    assert d2 == [[28] * 10]


def test_images_keep_their_names_and_sizes(tmp_path):
    written = weight_maps(tmp_path, {"val/b": [[1, 0]], "train/a.x": [[0], [3], [0]]})
    archive = ImageArchive(written)
    assert archive.names == ["train/a.x", "val/b"]
    assert [archive.read(name).shape for name in archive.names] == [(3, 1, 3), (1, 2, 3)]


def test_the_same_maps_give_the_same_bytes_with_any_number_of_workers(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    instances = {f"train/{i:02}": rng.integers(0, 9, (20, 30)) for i in range(12)}
    alone = weight_maps(tmp_path, instances).read_bytes()
    monkeypatch.setattr("src.parallel.workers.ALONE", 0)
    with joblib.parallel_config(backend="loky"):
        assert weight_maps(tmp_path, instances).read_bytes() == alone


@pytest.mark.slow
def test_a_cluster_writes_the_same_bytes(tmp_path, dask_scheduler):
    rng = np.random.default_rng(0)
    instances = {f"train/{i:02}": rng.integers(0, 9, (20, 30)) for i in range(12)}
    alone = weight_maps(tmp_path, instances).read_bytes()
    assert weight_maps(tmp_path, instances, scheduler=dask_scheduler).read_bytes() == alone


def test_an_archive_without_maps_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"instances\.zip: holds no instance maps"):
        weight_maps(tmp_path, {})
    assert not (tmp_path / "out").exists()


def test_an_unreadable_map_is_named_and_nothing_is_left_behind(tmp_path):
    write_archive(tmp_path / "instances.zip", [("train/a", b"\x89PNG but cut off")])
    sections = "weight_maps: {max_distance: 9}\nworkers: {scheduler: none}"
    (tmp_path / "params.yaml").write_text(sections)
    write_plan(tmp_path / "plan")
    params = ["--params", str(tmp_path / "params.yaml")]
    with pytest.raises(InputError, match=r"instances\.zip: train/a: not a readable image"):
        main([str(tmp_path / name) for name in ("instances.zip", "plan", "out/maps.zip")] + params)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("max_distance", [0, 64, 1.5, "'9'"])
def test_a_clip_that_cannot_be_stored_is_refused(tmp_path, max_distance):
    with pytest.raises(InputError, match=r"weight_maps\.max_distance: .*, got "):
        weight_maps(tmp_path, {"train/a": [[1]]}, max_distance)
