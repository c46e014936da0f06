import cv2
import numpy as np
import pytest

from src.applying.maps import predicted_maps
from src.applying.objects import apply_to_image
from src.base.errors import InputError
from src.mosaics.runs import mask_runs
from src.scenes.model_calls import objects_of_image, open_model, read_model, scene_windows
from src.scenes.scene_maps import Windows
from tests import squares_bundle, tiny_bundle


def described(path, **changes):
    """Write a bundle of a network that is described otherwise, and open it."""
    network = tiny_bundle.TOLD["networks"][0]
    description = tiny_bundle.DESCRIPTION | changes
    tiny_bundle.write(path, {"networks": [network | {"description": description}]})
    return open_model(path, None, None)


@pytest.mark.parametrize(
    ("resize", "windows"),
    [
        (1.0, Windows(512, 512, 96, 8)),
        (2.0, Windows(512, 512, 48, 8)),
        (0.5, Windows(512, 512, 192, 16)),
        (0.25, Windows(512, 512, 384, 32)),
    ],
)
def test_tiles_begin_on_the_grid_of_the_network_and_see_as_far_as_it_looks(
    tmp_path, resize, windows
):
    """The network halves three times, so its grid is of 8 px of what it is given."""
    model = described(tmp_path / "m.maskline.zip", resize=resize)
    assert scene_windows(model, 512) == windows
    assert scene_windows(model, 384) == windows
    assert scene_windows(model, 513) == windows._replace(side=1024)


def test_a_model_with_fewer_views_and_another_score(tmp_path):
    path = tiny_bundle.write(tmp_path / "m.maskline.zip")
    bundle = read_model(open_model(path, "none", 0.75))
    assert bundle.predict.views == "none"
    assert bundle.learnt.point.score == 0.75
    assert read_model(open_model(path, None, None)).predict.views == "hflip"
    with pytest.raises(InputError, match=r"--views d2: m\.maskline\.zip predicts with hflip at"):
        open_model(path, "d2", None)


def test_a_bundle_that_was_replaced_is_read_anew(tmp_path):
    path = tiny_bundle.write(tmp_path / "m.maskline.zip")
    assert read_model(open_model(path, None, None)).manifest.name == "tiny"
    tiny_bundle.write(path, {"name": "another"})
    assert read_model(open_model(path, None, None)).manifest.name == "another"


def test_objects_of_an_image_file_are_those_of_its_array(tmp_path):
    image = squares_bundle.scene(90, 130, squares_bundle.grid(90, 130))
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    model = open_model(squares_bundle.write(tmp_path / "m.maskline.zip"), None, None)
    objects, mask = objects_of_image(tmp_path / "a.png", model=model)
    found = apply_to_image(read_model(model), image)
    assert np.array_equal(mask, found.probability)
    assert [one.score for one in objects] == found.objects["score"].tolist()
    labels = [mask_runs(found.labels == label + 1) for label in range(len(objects))]
    assert all(
        np.array_equal(*pair) for pair in zip(labels, [o.runs for o in objects], strict=True)
    )
    assert len(objects) == len(squares_bundle.grid(90, 130))
    (tmp_path / "b.png").write_bytes(b"no image")
    assert objects_of_image(tmp_path / "b.png", model=model).endswith("not a readable image")


def test_images_of_any_size_get_the_very_maps_of_the_stages(tmp_path):
    predict = squares_bundle.TOLD["predict"] | {"views": "d4", "max_size": 64}
    path = squares_bundle.write(tmp_path / "m.maskline.zip", predict=predict)
    model = open_model(path, None, None)
    for number, size in enumerate([(90, 131), (64, 64), (17, 9)]):
        image = squares_bundle.scene(*size, squares_bundle.grid(*size), seed=number)
        cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
        _, mask = objects_of_image(tmp_path / "a.png", model=model)
        assert np.array_equal(mask, predicted_maps(read_model(model), image)["mask"])
