import numpy as np
import pandas as pd
import pytest

from src.data_pages.histograms import Measured, bars_of, histograms, measure_images
from src.formats.archive import write_archive
from src.formats.prepared import open_photos


def test_numbers_are_counted_in_bins_and_large_ones_in_the_last():
    bars = bars_of("val", np.array([0, 0.5, 1, 31.9, 32, 99]), 32)
    assert (bars.split, bars.count, bars.median) == ("val", 6, 16.45)
    assert bars.heights == [66.67, 33.33, *[0] * 29, 100]


def test_images_and_objects_are_measured(tmp_path):
    labels = np.zeros((20, 30), np.uint16)
    labels[2:6, 2:6], labels[2:11, 9:18] = 1, 2  # 16 and 81 px; columns 5 and 9
    photo = np.full((20, 30, 3), (100, 0, 50), np.uint8)
    write_archive(tmp_path / "train/images.zip", [("train/a", photo), ("train/b", photo)])
    write_archive(tmp_path / "test/images.zip", [("test/t", photo)])
    nothing = np.zeros((20, 30), np.uint16)
    items = [("train/a", labels), ("train/b", nothing)]
    write_archive(tmp_path / "labels/train/instances.zip", items)
    images = pd.DataFrame({"name": ["train/a", "train/b", "test/t"]})
    images = images.assign(split=["train", "train", "test"], height=20, width=30)
    photos = open_photos(tmp_path, "train", "test")
    measured = measure_images(tmp_path, photos, images, 10)
    assert measured.keys() == {"train", "test"}
    assert measured["train"].sizes.tolist() == [4, 9]
    assert measured["train"].gaps.tolist() == [4, 4]
    assert measured["train"].brightness.tolist() == pytest.approx([35.6, 35.6])
    assert measured["test"].sizes.size == 0
    assert measured["test"].images == 1
    assert measure_images(tmp_path, photos, images, 1)["train"].images == 1


def test_what_no_split_has_is_left_out():
    none = np.zeros(0)
    told = histograms({"test": Measured(2, none, none, np.array([10.0, 20.0]))})
    assert [one.words for one in told] == ["Mean brightness of the images"]
    sizes = np.array([3.0] * 150 + [70.0])
    both = histograms({"train": Measured(1, sizes, none, none), "val": Measured(0, *[none] * 3)})
    assert [(one.end, one.open, len(one.bars)) for one in both] == [(32.0, True, 1)]
