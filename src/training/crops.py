"""Images with the planes that losses read, mixed and cut to one size for training."""

import copy
import math
import random
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset, get_worker_info

from src.label_maps.distances import weight_planes
from src.label_maps.labels import IGNORED
from src.networks.network_input import BANDS
from src.networks.params import ModelParams
from src.networks.positions import BYTES, needs_positions, position_bytes
from src.networks.resizing import resized, resized_maps
from src.training.augmentation import centre_crop, training_transform
from src.training.labelled_images import LabelledImages, Sources
from src.training.mixing import mosaic, paste_objects
from src.training.params import Training, TrainParams
from src.training.targets import training_planes

Crop = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
BORDERS = {"replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}
SMALL = 160  # px; one thread alone is faster at crops up to that size of images in memory


class TrainingCrops(Dataset):
    """Crops of fixed size, each a function of its (index, seed) alone.

    So neither the number of loader workers or threads nor the order of loading changes what is
    trained on.

    Parameters
    ----------
    images : LabelledImages
    numbers : ndarray of float32, shape (N, 2)
        Depth and weight of each image. A mixed image keeps those of the one it is drawn for.
    transform : albumentations.Compose
        Takes `image` and `mask`, returns them `crop_size` high and wide.
    model : ModelParams
        `resize`: factor on height and width before cropping. `extra_channels`: where positions are
        among them, their bytes (`src.networks.positions`) are the last planes of a crop.
    train : TrainParams
        Images smaller than `crop_size` are padded as `padding` says; all planes are 255 there, so
        the target is "ignored".
    max_distance : int
        Where the distances to objects are clipped, which a mixed image needs anew; in pixels.
    mosaic, copy_paste : float in [0, 1]
        Probabilities that the image becomes a mosaic with three others, and that objects of
        another are pasted in, both before resizing and `transform`.
    """

    def __init__(
        self,
        images: LabelledImages,
        *,
        numbers: np.ndarray,
        transform,
        model: ModelParams,
        train: TrainParams,
        max_distance: int,
        mosaic: float = 0.0,
        copy_paste: float = 0.0,
    ):
        self.images, self.resize, self.max_distance = images, model.resize, max_distance
        self.positions = needs_positions(model.extra_channels)
        self.crop_size, self.padding = train.crop_size, train.padding
        self.mosaic, self.copy_paste = mosaic, copy_paste
        self.numbers = torch.from_numpy(np.asarray(numbers, np.float32))
        self.transforms = [copy.deepcopy(transform) for _ in range(torch.get_num_threads())]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: tuple[int, int]) -> Crop:
        """Return image uint8 (3, S, S), planes uint8 (P, S, S) and numbers float32 (2,).

        Of bands the image has their number, and is int32 where they have 16 bits.
        """
        return self._crop(draw, self.transforms[0])

    def __getitems__(self, draws: list[tuple[int, int]]) -> list[Crop]:
        """Return the crops of a batch, made by up to as many threads as PyTorch computes with."""
        threads = len(self.transforms)
        quick = self.crop_size <= SMALL and all(self.images.is_kept(index) for index, _ in draws)
        if threads == 1 or quick or get_worker_info():  # workers share the cores
            return [self[draw] for draw in draws]
        with ThreadPoolExecutor(threads) as pool:  # a transform remembers its draw: one a thread
            shares = [draws[start::threads] for start in range(threads)]
            parts = list(pool.map(self._crops, shares, self.transforms))
        return [parts[place % threads][place // threads] for place in range(len(draws))]

    def whole(self, index: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and planes before they are cut, of several images if drawn so.

        Parameters
        ----------
        index, seed : int
            Without a draw to mix, the seed changes nothing.

        Returns
        -------
        image, planes : ndarray of uint8, shape (H, W, 3) and (H, W, P)
            Resized; at a factor of 1 those of one image may be the ones in memory, not to be
            changed.
        """
        is_mosaic = is_pasted = False
        if self.mosaic or self.copy_paste:
            rng = np.random.default_rng([seed, 1])  # not the transform's: its draws stay
            is_mosaic, is_pasted = rng.random(2) < (self.mosaic, self.copy_paste)
        if is_mosaic or is_pasted:
            image, planes = self._mixed(index, is_mosaic, is_pasted, rng)
        else:
            image, planes = self.images[index]
        return resized(image, self.resize), resized_maps(planes, self.resize)

    def _crops(self, draws: list[tuple[int, int]], transform) -> list[Crop]:
        return [self._crop(draw, transform) for draw in draws]

    def _crop(self, draw: tuple[int, int], transform) -> Crop:
        index, seed = draw
        image, planes = self.whole(index, seed)
        if self.positions:  # in the whole image, and from here on where its pixels are
            image = np.dstack([image, position_bytes(*image.shape[:2])])
        image, planes = padded(image, planes, self.crop_size, self.padding)
        if self.positions:
            where = image[..., -BYTES:].astype(np.uint8)
            image, planes = image[..., :-BYTES].copy(), np.dstack([planes, where])
        # One generator for all steps: set_random_seed would seed each alike and couple their draws.
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        crop = transform(image=image, mask=planes)
        return _channels_first(crop["image"]), _channels_first(crop["mask"]), self.numbers[index]

    def _mixed(
        self, index: int, is_mosaic: bool, is_pasted: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        image, instances = self._part(index)
        *quarters, other = partners(len(self), index, rng)
        if is_mosaic:
            parts = [(image, instances), *map(self._part, quarters)]
            image, instances = mosaic(parts, max(2, math.ceil(self.crop_size / self.resize)), rng)
        if is_pasted:
            image, instances = paste_objects(image, instances, *self._part(other), rng)
        weights = weight_planes(instances, self.max_distance)
        names = self.images.plane_names
        bands = image.shape[2] - ("soft" in names)
        soft = image[..., bands:].astype(np.uint8)
        return image[..., :bands].copy(), training_planes(instances, weights, soft, names)

    def _part(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and instances to mix; a soft target goes with the image as a channel."""
        image, names = self.images.image(index), self.images.plane_names
        if "soft" in names:
            image = np.dstack([image, self.images.planes(index)[..., names.index("soft")]])
        return image, self.images.instances(index)


def crops_by_use(
    table: pd.DataFrame, sources: Sources, training: Training, planes: tuple[str, ...]
) -> tuple[TrainingCrops, dict[str, TrainingCrops]]:
    """Make the crops to learn from, augmented, and those to look at, as they are.

    Parameters
    ----------
    table : DataFrame
        A row for each image: name, use ("learn", "fold", "holdout" or another), relative_depth and
        image_weight.
    sources : Sources
    training : Training
    planes : tuple of str
        Names of the planes, see `src.training.targets.plane_names`.

    Returns
    -------
    learnt : TrainingCrops
        Kept in memory as far as `train.cache_mb` goes, for all loader workers together.
    watched : dict of TrainingCrops
        "fold" and "holdout"; either may have no image.
    """
    augment, train = training.augment, training.train

    def crops(use: str, transform, cache_mb: float = 0.0, **mixing: float) -> TrainingCrops:
        rows = table[table["use"] == use]
        images = LabelledImages(
            sources,
            rows["name"].tolist(),
            planes=planes,
            clahe=training.model.clahe,
            mixed=any(mixing.values()),
            cache_mb=cache_mb,
        )
        return TrainingCrops(
            images,
            numbers=rows[["relative_depth", "image_weight"]].to_numpy(np.float32),
            transform=transform,
            model=training.model,
            train=train,
            max_distance=training.max_distance,
            **mixing,
        )

    learnt = crops(
        "learn",
        training_transform(
            augment,
            allowed=training.allowed,
            crop_size=train.crop_size,
            bands=training.model.image_channels == BANDS,
        ),
        train.cache_mb / max(1, train.workers),
        mosaic=augment.mosaic,
        copy_paste=augment.copy_paste,
    )
    as_it_is = centre_crop(train.crop_size)
    return learnt, {use: crops(use, as_it_is) for use in ("fold", "holdout")}


def partners(images: int, index: int, rng: np.random.Generator) -> list[int]:
    """Draw four other images, different ones if there are as many; alone, the image itself."""
    others = images - 1
    steps = rng.choice(others, 4, replace=others < 4) + 1 if others else np.zeros(4, int)
    return ((index + steps) % images).tolist()


def padded(
    image: np.ndarray, planes: np.ndarray, size: int, padding: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pad both to at least `size` x `size`, centred: edge repeated or mirrored, planes 255."""
    height, width = image.shape[:2]
    down, right = max(0, size - height), max(0, size - width)
    if not down and not right:
        return image, planes
    top, left = down // 2, right // 2
    bordered = cv2.copyMakeBorder(image, top, down - top, left, right - left, BORDERS[padding])
    image = bordered.reshape(*bordered.shape[:2], image.shape[2])  # OpenCV drops a single band
    framed = np.full((*image.shape[:2], planes.shape[2]), IGNORED, np.uint8)
    framed[top : top + height, left : left + width] = planes
    return image, framed


def _channels_first(array: np.ndarray) -> torch.Tensor:
    """Turn (H, W, C) into a tensor (C, H, W); faster than a transposed copy."""
    planes = np.empty((array.shape[2], *array.shape[:2]), array.dtype)
    cv2.split(array, list(planes))
    return torch.from_numpy(planes.astype(np.int32) if planes.dtype == np.uint16 else planes)
