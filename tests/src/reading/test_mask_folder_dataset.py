import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from src.base.errors import InputError
from src.reading.image_folders import files_below
from src.reading.mask_folder_dataset import find_records, read_objects
from src.reading.mask_names import MaskNames

NUCLEI = Path(__file__).parents[4] / "shared/data/nuclei"
RNG = np.random.default_rng(11)
LABELS = np.kron(RNG.permutation([0] * 22 + [1, 2, 3, 4] * 2).reshape(5, 6), np.ones((4, 4), int))
SIZE = LABELS.shape
ANY = (LABELS > 0).astype(np.uint8) * 255


def png(array):
    return cv2.imencode(".png", array.astype(np.uint8))[1].tobytes()


def write(root, files):
    """Write a dict of path and content: bytes, an array to be stored as PNG, or None: a folder."""
    for name, content in files.items():
        path = root / name
        if content is None:
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(content) if isinstance(content, np.ndarray) else content)
    return root


def find(root, masks="instances", folder="masks", suffix="", patterns=("", ""), **options):
    names = MaskNames(suffix, *patterns)
    return find_records(
        root, category_id=3, masks=masks, mask_folder=folder, names=names, **options
    )  # fmt: skip


def read(root, name="train/a", **options):
    (record,) = [r for r in find(root, **options).records if r.name == name]
    return read_objects(record, *SIZE)


def mask_of(region):
    flat = np.zeros(SIZE[0] * SIZE[1], bool)
    for start, stop in region.runs.tolist():
        flat[start:stop] = True
    return flat.reshape(SIZE[::-1]).T


def labels_of(objects):
    """Label map of objects that do not overlap."""
    labels = np.zeros(SIZE, int)
    for item in objects:
        mask = mask_of(item.region)
        assert not labels[mask].any()
        labels[mask] = item.id
    return labels


INSTANCES = {f"{label:02}.png": (label == LABELS) * 255 for label in range(1, 5)}


def test_a_folder_for_each_image_is_read_back_as_it_was_written(tmp_path):
    files = {"train/a/images/x.png": b"x", "train/b.c/images/y.jpg": b"x"}
    files |= {f"train/a/masks/{name}": mask for name, mask in INSTANCES.items()}
    files |= {"train/b.c/masks": None, "val/a/images/z.tif": b"x", "val/a/masks/1.png": ANY}
    dataset = find(write(tmp_path, files))
    assert [r[:4] + r[5:7] for r in dataset.records] == [
        ("train/a", "train", 1, "a/images/x.png", "train/a", None),
        ("train/b.c", "train", 2, "b.c/images/y.jpg", "train/b.c", None),
        ("val/a", "val", 1, "a/images/z.tif", "val/a", None),
    ]
    assert [r.path for r in dataset.records[::2]] == [
        tmp_path / "train/a/images/x.png", tmp_path / "val/a/images/z.tif",
    ]  # fmt: skip
    assert (dataset.category, dataset.unlisted) == ({"id": 3, "name": "3"}, 0)
    objects = read_objects(dataset.records[0], *SIZE)
    np.testing.assert_array_equal(labels_of(objects), LABELS)
    assert [item.truth_id for item in objects] == [65537, 65538, 65539, 65540]
    assert read_objects(dataset.records[1], *SIZE) == []


def test_masks_of_all_images_may_lie_in_one_folder(tmp_path):
    files = {"train/images/a.png": b"x", "train/images/s/b.png": b"x"}
    files |= {f"train/gt/a_m/{name}": mask for name, mask in INSTANCES.items()}
    files |= {"train/gt/s/b_m/1.png": ANY, "train/gt/c_m/1.png": ANY, "train/gt/a/1.png": ANY}
    root = write(tmp_path, files)
    options = {"folder": "gt", "suffix": "_m"}
    np.testing.assert_array_equal(labels_of(read(root, **options)), LABELS)
    np.testing.assert_array_equal(labels_of(read(root, "train/s/b", **options)), ANY > 0)
    assert find(root, **options).unlisted == 2


def test_objects_that_overlap_stay_whole_and_empty_ones_keep_their_number(tmp_path):
    over = np.zeros(SIZE)
    over[3:9, 2:7] = 1
    masks = {"1.png": ANY, "2.png": over, "3.png": over * 0, "4.png": over}
    files = {"train/a/images/a.png": b"x"} | {f"train/a/masks/{n}": m for n, m in masks.items()}
    objects = read(write(tmp_path, files))
    assert [item.id for item in objects] == [1, 2, 3, 4]
    for item, mask in zip(objects, masks.values(), strict=True):
        np.testing.assert_array_equal(mask_of(item.region), mask > 0)
    assert objects[2].region.runs.shape == (0, 2)
    assert objects[2].region[1:] == (0, (0, 0, 0, 0))


@pytest.mark.parametrize("masks", ["components", "whole", "ids"])
def test_one_mask_for_each_image_is_read_back_as_it_was_written(tmp_path, masks):
    source = {"components": ANY, "whole": ANY, "ids": LABELS * 7}[masks]
    files = {"train/images/s/a.x.jpg": b"x", "train/masks/s/a.x_mask.png": source}
    objects = read(write(tmp_path, files), "train/s/a.x", masks=masks, suffix="_mask")
    if masks == "components":
        parts, count = ndimage.label(ANY, np.ones((3, 3)))
        assert len(objects) == count > 1
        firsts = [mask_of(item.region).argmax() for item in objects]
        assert firsts == sorted(firsts)
        for item in objects:
            mask = mask_of(item.region)
            np.testing.assert_array_equal(mask, parts == parts[mask][0])
    else:
        expected = ANY > 0 if masks == "whole" else LABELS
        np.testing.assert_array_equal(labels_of(objects), expected)
    assert [item.id for item in objects] == list(range(1, len(objects) + 1))


@pytest.mark.parametrize("masks", ["components", "whole", "ids"])
def test_a_mask_of_zeros_holds_no_object(tmp_path, masks):
    files = {"train/images/a.jpg": b"x", "train/masks/a.png": ANY * 0}
    assert read(write(tmp_path, files), masks=masks) == []


def test_masks_may_have_any_extension_and_a_world_file_beside_them(tmp_path):
    tif = cv2.imencode(".tif", ANY)[1].tobytes()
    files = {"train/images/a.jpg": b"x", "train/masks/a.TIF": tif, "train/masks/a.tfw": b"x"}
    (item,) = read(write(tmp_path, files), masks="whole")
    np.testing.assert_array_equal(mask_of(item.region), ANY > 0)


def test_truth_ids_differ_within_a_split_and_do_not_depend_on_other_images(tmp_path):
    files = {f"train/images/{name}.jpg": b"x" for name in "abc"}
    files |= {f"train/masks/{name}.png": LABELS for name in "abc"}
    dataset = find(write(tmp_path, files), masks="ids")
    ids = [[o.truth_id for o in read_objects(r, *SIZE)] for r in dataset.records[::-1]]
    assert ids == [[k * 65536 + n for n in range(1, 5)] for k in (3, 2, 1)]


@pytest.mark.parametrize("masks", ["instances", "whole"])
@pytest.mark.parametrize(
    "files",
    [
        {"test_images/q.png": b"x", "test_images/p.png": b"x"},
        {"test/images/q.png": b"x", "test/images/p.png": b"x", "test/masks/q.png": b"bad"},
    ],
)
def test_images_of_test_have_no_objects(tmp_path, masks, files):
    train = {"train/images/a.png": b"x"}
    train |= {"train/masks/a/1.png": ANY} if masks == "instances" else {"train/masks/a.png": ANY}
    records = find(write(tmp_path, train | files), masks=masks).records
    assert [(r.name, r.split, r.image_id) for r in records[:2]] == [
        ("test/p", "test", 1), ("test/q", "test", 2),
    ]  # fmt: skip
    assert read_objects(records[0], *SIZE) == []


def test_images_of_test_may_each_lie_in_a_folder(tmp_path):
    files = {"train/a/images/a.png": b"x", "train/a/masks/1.png": ANY}
    files |= {"test/q/images/q.png": b"x", "test/p/images/z.png": b"x"}
    records = find(write(tmp_path, files)).records
    assert [(r.name, r.image_id) for r in records[:2]] == [("test/p", 1), ("test/q", 2)]
    assert read_objects(records[0], *SIZE) == []


def test_what_has_no_image_or_is_none_is_unlisted_and_what_is_hidden_does_not_count(tmp_path):
    files = {"train/images/a.png": b"x", "train/images/a.pgw": b"x", "train/images/.b.png": b"x"}
    files |= {"train/masks/a.png": ANY, "train/masks/z.png": ANY, "train/masks/.q/z.png": ANY}
    files |= {"train/.old/images/b.png": b"x", "val/.DS_Store": b"x", "train/notes.txt": b"x"}
    files |= {"val/images/a.png": b"x", "val/masks/a.png": ANY, "val/masks/a_mask.png": ANY}
    dataset = find(write(tmp_path, files), masks="whole")
    assert ([r.name for r in dataset.records], dataset.unlisted) == (["train/a", "val/a"], 3)


def test_a_folder_without_an_image_is_unlisted(tmp_path):
    files = {"train/a/images/a.png": b"x", "train/a/masks/1.png": ANY, "train/.b/images/b.png": b""}
    files |= {"train/b/masks/1.png": ANY, "train/b/masks/2.png": ANY, "train/c/images": None}
    dataset = find(write(tmp_path, files))
    assert ([r.name for r in dataset.records], dataset.unlisted) == (["train/a"], 2)


def test_hidden_files_are_no_masks(tmp_path):
    files = {"train/a/images/a.png": b"x", "train/a/masks/1.png": ANY}
    files |= {"train/a/masks/.DS_Store": b"x", "train/a/masks/.1.png": b"x"}
    assert len(read(write(tmp_path, files))) == 1


A, B = {"train/images/a.png": b"x"}, {"train/a/images/a.png": b"x"}
REFUSED = [
    # root and folders
    ({}, {}, "set: no such folder; give the one that holds train/"),
    ({"val/images/a.png": b"x"}, {}, "train: no such folder; see docs/data.md"),
    ({"train": b"x"}, {}, "train: no such folder; see docs/data.md"),
    ({"train": None}, {}, "train: holds no images; see docs/data.md for the layout"),
    ({"train/a.png": b"x"}, {}, "train: holds no images; see docs/data.md for the layout"),
    ({"train/a/a.png": b"x"}, {}, "train: holds no images; see docs/data.md for the layout"),
    ({"train/a.png": b"x"}, {"masks": "ids"}, "train/images: no such folder; see docs/data.md"),
    (B | {"train/a/masks/1.png": ANY}, {"masks": "whole"}, "train/images: no such folder"),
    ({"train/images": None}, {"masks": "ids"}, "train/images: holds no images; put the images"),
    ({"train/images/a.txt": b""}, {}, "train/images: holds no images; put the images there"),
    (A, {}, "train/masks: no such folder; set dataset.mask_folder to the name of the one"),
    (A, {"masks": "whole", "folder": "gt"}, "train/gt: no such folder; set dataset.mask_folder"),
    (A | {"train/masks/a.png": ANY, "val": None}, {"masks": "ids"}, "val/images: no such folder"),
    # no mask at all
    (
        B,
        {},
        r"train: no image \(1 of them\) has masks; those of 'a/images/a.png' should be the folder "
        "'a/masks', set dataset.mask_folder and dataset.mask_suffix accordingly",
    ),
    (A | {"train/masks/a.png": ANY}, {}, "should be the folder 'masks/a', set dataset.mask_f"),
    (
        A | {"train/masks/a.png": ANY},
        {"masks": "components", "suffix": "_mask.gif"},
        "of 'a.png' should be the file of any image format 'masks/a_mask.gif', set dataset",
    ),
    (A | {"train/masks/a.txt": b"x"}, {"masks": "ids"}, "has masks; those of"),
    # names
    (A | {"train/images/a.jpg": b"x"}, {}, "'a.jpg' and 'a.png' are one name, 'train/a'"),
    (B | {"train/a/images/b.jpg": b"x"}, {}, "a/images: 2 images, 'a.png' and 'b.jpg' among"),
    (A | {"train/x/images/a.png": b"x"}, {}, "holds the folder images and 'x/images'; keep all"),
    ({"train/a\nb/images/a.png": b"x"}, {}, r"train 'a\\nb/images/a.png': a file name must be"),
    (A | {"train/images/\x7f.png": b"x"}, {}, "a file name must be printable"),
    # test
    (
        A | {"train/masks/a/1.png": ANY, "test": None, "test_images": None},
        {},
        "set: holds both test and test_images; remove one of the two",
    ),
    (A | {"train/masks/a/1.png": ANY, "test_images": None}, {}, "test_images: holds no images"),
    (A | {"train/masks/a/1.png": ANY, "test/a.png": b"x"}, {}, "test: holds no images; see docs"),
    (
        A | {"train/masks/a.png": ANY, "test/a.png": b"x"},
        {"masks": "whole"},
        "test/images: no such folder; see docs/data.md",
    ),
    # params
    (A, {"folder": ""}, "dataset.mask_folder is '': must be the name of a folder inside"),
    (A, {"folder": "../masks"}, "dataset.mask_folder is '../masks': must be the name of a folder"),
    (A, {"folder": "/etc"}, "dataset.mask_folder is '/etc': must be the name of a folder inside"),
    (A, {"folder": ".masks"}, "dataset.mask_folder is '.masks': .* not a hidden one"),
    (A, {"folder": "images"}, "dataset.mask_folder is 'images': the folder images holds images"),
    (A, {"folder": "images/m"}, "dataset.mask_folder is 'images/m': the folder images holds"),
    (A, {"suffix": "/../x"}, "dataset.mask_suffix is '/../x': must be the end of a file name"),
    (A, {"suffix": "\0"}, r"dataset.mask_suffix is '\\x00': must be the end of a file name"),
]


@pytest.mark.parametrize(("files", "options", "words"), REFUSED)
def test_a_doubtful_dataset_is_refused_as_a_whole(tmp_path, files, options, words):
    root = write(tmp_path / "set", files)
    with pytest.raises(InputError, match=words) as caught:
        find(root, **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_kind_of_masks_is_our_mistake(tmp_path):
    with pytest.raises(ValueError, match="masks must be one of instances, components, whole, ids"):
        find(tmp_path, masks="polygons")


M, MASK = "train/a/masks/", {"train/a/masks/2.png": ANY}
SMALL, GREYS = ANY[:-1], np.arange(ANY.size).reshape(SIZE)
JPEG = cv2.imencode(".jpg", ANY)[1].tobytes()
REJECTED_INSTANCES = [
    (MASK | {M + "1.png": b""}, r"^mask '1.png': the file is empty \(0 bytes\)$"),
    (MASK | {M + "1.png": b"x"}, "^mask '1.png': neither a PNG, GIF, BMP, JPEG nor TIFF image$"),
    (MASK | {M + "1.png": png(GREYS)[:-90]}, "^mask '1.png': damaged image"),
    (MASK | {M + "1.png": SMALL}, r"^mask '1.png': the mask is 19x24 px .*, the image 20x24$"),
    (MASK | {M + "1.png": GREYS}, "^mask '1.png': a mask with the values 1 and 2 beside the"),
    ({M + "Thumbs.db": b"x"}, "^the folder of masks holds 'Thumbs.db' but no image file$"),
    (MASK | {M + "sub/1.png": ANY}, "^mask 'sub': no such file$"),
    (MASK | {M + "a\nb": b"x"}, r"^mask 'a\\nb': neither a PNG"),
    ({"train/b/masks": None}, "^no mask 'a/masks'$"),
]


@pytest.mark.parametrize(("files", "words"), REJECTED_INSTANCES)
def test_an_image_with_a_doubtful_object_is_rejected(tmp_path, files, words):
    root = write(tmp_path, {f"train/{n}/images/a.png": b"x" for n in "ab"} | files)
    (root / "train/b/masks").mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match=words):
        read(root)


REJECTED = [
    ({}, "whole", "^no mask 'gt/a_m'$"),
    ({"train/gt/a.png": ANY}, "whole", "^no mask 'gt/a_m'$"),
    ({"train/gt/a_m.png": ANY, "train/gt/a_m.tif": ANY}, "ids", "^two masks, 'a_m.png' and 'a_m.t"),
    ({"train/gt/a_m.png": ANY.T}, "whole", "^mask 'a_m.png': the mask is 24x20 px"),
    ({"train/gt/a_m.png": LABELS}, "components", "^mask 'a_m.png': a mask with the values"),
    ({"train/gt/a_m.png": LABELS}, "whole", "^mask 'a_m.png': a mask with the values"),
    ({"train/gt/a_m.png": JPEG}, "ids", "^mask 'a_m.png': a JPEG mask, which does not keep"),
    ({"train/gt/a_m.png": b"x"}, "ids", "^mask 'a_m.png': neither a PNG"),
]


@pytest.mark.parametrize(("files", "masks", "words"), REJECTED)
def test_an_image_with_a_doubtful_mask_is_rejected(tmp_path, files, masks, words):
    files = {f"train/images/{n}.png": b"x" for n in "ab"} | {"train/gt/b_m.png": ANY} | files
    root = write(tmp_path, files)
    with pytest.raises(InputError, match=words):
        read(root, masks=masks, folder="gt", suffix="_m")


def test_a_mask_removed_meanwhile_rejects_its_image(tmp_path):
    root = write(tmp_path, {"train/images/a.png": b"x", "train/masks/a/1.png": ANY})
    (record,) = find(root).records
    shutil.rmtree(root / "train/masks/a")
    with pytest.raises(InputError, match="^the folder of masks cannot be read: No such file"):
        read_objects(record, *SIZE)


BESIDE = ("Thumbs.db", "desktop.ini", "2.pgw", "2.png.aux.xml", "2.prj")


def test_files_of_other_programs_among_images_and_masks_are_counted_and_not_read(tmp_path):
    nested = {"train/a/images/a.png": b"x"} | MASK
    nested |= {f"train/a/{where}/{name}": b"x" for where in ("images", "masks") for name in BESIDE}
    root = write(tmp_path / "nested", nested)
    assert (find(root).unlisted, len(read(root))) == (10, 1)
    flat = {"train/images/a.png": b"x", "train/masks/a/1.png": ANY}
    flat |= {f"train/masks/a/{name}": b"x" for name in BESIDE}
    flat |= {"train/masks/@eaDir/a.png": b"x", "train/images/@eaDir/a.png": b"x"}
    root = write(tmp_path / "flat", flat)
    assert (find(root).unlisted, len(read(root))) == (5, 1)
    files = {"train/images/2.png": b"x", "train/masks/2.png": ANY}
    files |= {f"train/masks/{name}": b"x" for name in BESIDE}
    files |= {f"{name}/{file}": b"x" for name in ("test/images",) for file in ("t.png", *BESIDE)}
    dataset = find(write(tmp_path / "one", files), masks="whole")
    assert ([r.name for r in dataset.records], dataset.unlisted) == (["test/t", "train/2"], 10)


def test_an_image_without_mask_is_rejected_even_where_a_folder_of_its_name_is_a_file(tmp_path):
    files = {"train/images/a.png": b"x", "train/images/b.png": b"x", "train/masks/b/1.png": ANY}
    root = write(tmp_path, files | {"train/masks/a": b"x"})
    with pytest.raises(InputError, match="^no mask 'masks/a'$"):
        read(root)
    assert find(root).unlisted == 1


@pytest.mark.skipif(not NUCLEI.is_dir(), reason="the nuclei are not beside the repository")
def test_the_nuclei_are_found_one_for_each_file():
    dataset = find(NUCLEI)
    assert (len(dataset.records), dataset.unlisted) == (150, 0)
    count = sum("/masks/" in name for name in files_below(NUCLEI / "val"))
    objects = 0
    for record in dataset.records[120:]:
        with Image.open(record.path) as image:
            found = read_objects(record, *image.size[::-1])
        objects += len(found)
        last = sorted((NUCLEI / record.name / "masks").iterdir())[-1]
        assert found[-1].region.area == np.count_nonzero(cv2.imread(str(last)).max(axis=2))
    assert objects == count == 806


PATTERNS = (r"(.+)_0000", r"(.+)_m")


@pytest.mark.parametrize("masks", ["ids", "instances"])
def test_patterns_say_which_mask_is_of_which_image(tmp_path, masks):
    end = ".png" if masks == "ids" else "/1.png"
    files = {f"train/images/{name}.png": b"x" for name in ("a_0000", "a_0001", "sub/b_0000")}
    files |= {f"train/masks/{name}{end}": ANY for name in ("a_m", "sub/b_m", "c_m", "a")}
    dataset = find(write(tmp_path, files), masks=masks, patterns=PATTERNS)
    found = {record.name: record.objects[0].paths for record in dataset.records}
    at = {name: (str(tmp_path / f"train/masks/{name}{end}"),) for name in ("a_m", "sub/b_m")}
    if masks == "instances":
        at = {name: (paths[0].removesuffix("/1.png"),) for name, paths in at.items()}
    assert found == {"train/a_0000": at["a_m"], "train/sub/b_0000": at["sub/b_m"]}
    assert [record.image_id for record in dataset.records] == [1, 2]
    assert dataset.unlisted == 3  # a_0001, and the masks c_m and a


def test_names_that_do_not_match_are_answered_with_what_would(tmp_path):
    files = {f"train/images/{k}_sat.jpg": b"x" for k in (1, 2)}
    files |= {f"train/masks/{k}_mask.png": ANY for k in (1, 2)}
    with pytest.raises(InputError, match=r"mask_pattern to '\(\.\+\)_mask', by which 2 of 2 have"):
        find(write(tmp_path, files), masks="ids")
    found = find(tmp_path, masks="ids", patterns=("(.+)_sat", "(.+)_mask")).records
    assert [len(record.objects[0].paths) for record in found] == [1, 1]


def test_patterns_are_refused_where_they_find_no_image_or_have_nothing_to_say(tmp_path):
    write(tmp_path / "flat", {"train/images/a.png": b"x", "train/masks/a.png": ANY})
    with pytest.raises(InputError, match=r"'x\(\.\+\)' matches the name of no image, such as 'a'"):
        find(tmp_path / "flat", masks="ids", patterns=("x(.+)", ""))
    write(tmp_path / "nested", {"train/a/images/a.png": b"x", "train/a/masks/1.png": ANY})
    with pytest.raises(InputError, match="a folder of its own, where any mask is of it"):
        find(tmp_path / "nested", patterns=("x(.+)", ""))


def test_images_without_a_mask_are_empty_on_request(tmp_path):
    files = {"train/images/a.png": b"x", "train/images/b.png": b"x", "train/masks/a.png": ANY}
    dataset = find(write(tmp_path, files), masks="ids", missing_mask="empty")
    assert (dataset.unmarked, read_objects(dataset.records[1], *SIZE)) == (1, [])
    refusing = find(tmp_path, masks="ids")
    assert refusing.unmarked == 0
    with pytest.raises(InputError, match="^no mask 'masks/b'$"):
        read_objects(refusing.records[1], *SIZE)


@pytest.mark.parametrize("masks", ["ids", "whole", "components", "instances"])
def test_pixels_of_the_ignored_value_are_neither_object_nor_background(tmp_path, masks):
    void = np.zeros(SIZE, bool)
    void[:, :3] = True
    stored = np.where(void, 255, (LABELS if masks == "ids" else LABELS > 0)).astype(np.uint8)
    name = "train/masks/a/1.png" if masks == "instances" else "train/masks/a.png"
    root = write(tmp_path, {"train/images/a.png": b"x", name: stored})
    *objects, last = read(root, masks=masks, ignore_value=255)
    assert (last.crowd, last.void, last.id) == (True, True, len(objects) + 1)
    assert np.array_equal(mask_of(last.region), void)
    drawn = np.sum([mask_of(one.region) for one in objects], axis=0)
    assert np.array_equal(drawn, (LABELS > 0) & ~void)
    assert not any(one.crowd or one.void for one in objects)


def test_a_lossy_mask_keeps_no_value_to_ignore(tmp_path):
    encoded = cv2.imencode(".jpg", ANY)[1].tobytes()
    root = write(tmp_path, {"train/images/a.png": b"x", "train/masks/a.jpg": encoded})
    with pytest.raises(InputError, match=r"JPEG mask, which does not keep .*dataset\.ignore_value"):
        read(root, masks="whole", ignore_value=255)


def test_a_mask_and_its_image_are_one_name_however_unicode_composes_it(tmp_path):
    files = {"train/images/cafe\u0301.png": b"x", "train/masks/caf\u00e9.png": ANY}
    [record] = find(write(tmp_path, files), masks="whole").records
    assert record.name == "train/caf\u00e9"
    assert len(record.objects[0].paths) == 1
    write(tmp_path, {"train/images/caf\u00e9.png": b"x"})
    with pytest.raises(InputError, match="however Unicode composes letters; rename or remove one"):
        find(tmp_path, masks="whole")
