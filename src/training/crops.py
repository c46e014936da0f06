"""Images with their target and the maps that losses need, cut to one size for training."""

import copy
import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from src.formats.archive import PHOTO, ImageArchive
from src.formats.distances import weight_planes
from src.formats.labels import IGNORE, IGNORED
from src.networks.contrast import equalise
from src.training.inside_distances import inside_distances
from src.training.mixing import mosaic, paste_objects

Crop = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
BORDERS = {"replicate": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}
MIB = 2**20
SMALL = 160  # px; one thread alone is faster at crops up to that size of images in memory


class PseudoLabels(NamedTuple):
    """What a trained network says of images without labels, in the place of labels."""

    instances: ImageArchive  # uint16 (H, W), 65535 where it is not sure
    weight_maps: ImageArchive  # uint8 (H, W, 3)
    soft: ImageArchive | None  # uint8 (H, W): probability of the mask * 255


class TrainingCrops(Dataset):
    """Crops of fixed size, each a function of its (index, seed) alone.

    So neither the number of loader workers or threads nor the order of loading changes what is
    trained on.

    Parameters
    ----------
    images, instances, weight_maps : ImageArchive
        uint8 RGB (H, W, 3), uint16 (H, W), uint8 (H, W, 3) under the same names.
    names : list of str
        The images to use.
    numbers : ndarray of float32, shape (N, 2)
        Depth and weight of each image. A mixed image keeps those of the one it is drawn for.
    heads : list of str
        Of the network; they decide which planes there are, see `plane_names`.
    resize : float
        Factor on height and width before cropping; positive.
    crop_size : int
        Smaller images are padded; all planes are 255 there, so the target is "ignored".
    padding : {"replicate", "reflect"}
        Of such images.
    clahe : float
        Clip limit of local contrast equalisation of the images as stored; 0 is off.
    mosaic, copy_paste : float in [0, 1]
        Probabilities that the image becomes a mosaic with three others, and that objects of
        another are pasted in, both before resizing and `transform`.
    max_distance : int
        Where the distances to objects are clipped, which a mixed image needs anew; in pixels.
    pseudo : PseudoLabels, optional
        Images that are in its `instances` have all their maps from it.
    soft : bool
        Whether there is the plane "soft", the probability * 255 that the mask is to learn: 0 and
        255 except on images for which `pseudo` has one.
    cache_mb : float
        MiB of images and maps kept decoded, those that are drawn first; 0 keeps none. Each loader
        worker keeps as much of its own.
    transform : albumentations.Compose
        Takes `image` and `mask`, returns them `crop_size` high and wide.

    Raises
    ------
    ValueError
        If `padding` is unknown.
    """

    def __init__(
        self,
        images: ImageArchive,
        instances: ImageArchive,
        weight_maps: ImageArchive,
        names: list[str],
        *,
        numbers: np.ndarray,
        heads: list[str],
        resize: float,
        crop_size: int,
        padding: str,
        clahe: float,
        mosaic: float,
        copy_paste: float,
        max_distance: int,
        transform,
        pseudo: PseudoLabels | None = None,
        soft: bool = False,
        cache_mb: float = 0.0,
    ):
        if padding not in BORDERS:
            raise ValueError(f"padding '{padding}' is unknown; known: {', '.join(BORDERS)}")
        self.images, self.instances, self.weight_maps = images, instances, weight_maps
        self.pseudo, self.pseudo_names = pseudo, set(pseudo.instances.names if pseudo else ())
        self.names, self.planes = names, plane_names(heads, soft=soft)
        self.numbers = torch.from_numpy(np.asarray(numbers, np.float32))
        self.resize, self.crop_size, self.padding, self.clahe = resize, crop_size, padding, clahe
        self.mosaic, self.copy_paste, self.max_distance = mosaic, copy_paste, max_distance
        self.transforms = [copy.deepcopy(transform) for _ in range(torch.get_num_threads())]
        self.kept, self.room, self.lock = {}, int(cache_mb * MIB), Lock()  # arrays; bytes left

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, draw: tuple[int, int]) -> Crop:
        """Return image uint8 (3, S, S), planes uint8 (P, S, S) and numbers float32 (2,)."""
        return self._crop(draw, self.transforms[0])

    def __getitems__(self, draws: list[tuple[int, int]]) -> list[Crop]:
        """Return the crops of a batch, made by up to as many threads as PyTorch computes with."""
        threads = len(self.transforms)
        quick = self.crop_size <= SMALL and all(("planes", i) in self.kept for i, _ in draws)
        if threads == 1 or quick or get_worker_info():  # workers share the cores
            return [self[draw] for draw in draws]
        with ThreadPoolExecutor(threads) as pool:  # a transform remembers its draw: one a thread
            shares = [draws[start::threads] for start in range(threads)]
            parts = pool.map(self._crops, shares, self.transforms)
        crops = [None] * len(draws)
        for start, part in enumerate(parts):
            crops[start::threads] = part
        return crops

    def _crops(self, draws: list[tuple[int, int]], transform) -> list[Crop]:
        return [self._crop(draw, transform) for draw in draws]

    def _crop(self, draw: tuple[int, int], transform) -> Crop:
        index, seed = draw
        image, planes = self._whole(index, seed)
        image, planes = resized(image, planes, self.resize)
        image, planes = padded(image, planes, self.crop_size, self.padding)
        # One generator for all steps: set_random_seed would seed each alike and couple their draws.
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        crop = transform(image=image, mask=planes)
        return _channels_first(crop["image"]), _channels_first(crop["mask"]), self.numbers[index]

    def _whole(self, index: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and planes before they are resized, of several images if drawn so.

        Those of one image may be the ones in memory: what follows makes new ones of them.
        """
        is_mosaic = is_pasted = False
        if self.mosaic or self.copy_paste:
            rng = np.random.default_rng([seed, 1])  # not the transform's: its draws stay
            is_mosaic, is_pasted = rng.random(2) < (self.mosaic, self.copy_paste)
        if is_mosaic or is_pasted:
            return self._mixed(index, is_mosaic, is_pasted, rng)
        return self._image(index), self._planes(index)

    def _mixed(
        self, index: int, is_mosaic: bool, is_pasted: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        image, instances = self._part(index)
        *quarters, other = self._partners(index, rng)
        if is_mosaic:
            parts = [(image, instances), *map(self._part, quarters)]
            image, instances = mosaic(parts, max(2, math.ceil(self.crop_size / self.resize)), rng)
        if is_pasted:
            image, instances = paste_objects(image, instances, *self._part(other), rng)
        weights = weight_planes(instances, self.max_distance)
        return image[..., :3].copy(), self._merged(instances, weights, image[..., 3:])

    def _part(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image and instances to mix; a soft target goes with the image as a channel."""
        image = self._image(index)
        if "soft" in self.planes:
            image = np.dstack([image, self._planes(index)[..., self.planes.index("soft")]])
        return image, self._instances(index)

    def _image(self, index: int) -> np.ndarray:
        def make():
            image = self.images.read(self.names[index], PHOTO)
            return equalise(image, self.clahe) if self.clahe else image

        return self._from_memory(("image", index), make)

    def _instances(self, index: int) -> np.ndarray:
        name = self.names[index]
        archive = self.pseudo.instances if name in self.pseudo_names else self.instances
        if not self.mosaic and not self.copy_paste:  # needed for its planes alone
            return archive.read(name)
        return self._from_memory(("instances", index), lambda: archive.read(name))

    def _planes(self, index: int) -> np.ndarray:
        def make():
            name, instances = self.names[index], self._instances(index)
            if name not in self.pseudo_names:
                return self._merged(instances, self.weight_maps.read(name))
            soft = self.pseudo.soft.read(name) if self.pseudo.soft else None
            return self._merged(instances, self.pseudo.weight_maps.read(name), soft)

        return self._from_memory(("planes", index), make)

    def _merged(
        self, instances: np.ndarray, weights: np.ndarray, soft: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the planes of a whole image, (H, W, P)."""
        target = training_target(instances)
        planes = [target, weights, *self._head_planes(instances)]
        if "soft" in self.planes:
            planes.append((target == 1) * np.uint8(255) if soft is None else soft)
        return cv2.merge(planes)

    def _from_memory(self, key: tuple[str, int], make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what `make` makes, not to be changed; kept from the first time on if it fits."""
        if key in self.kept:
            return self.kept[key]
        array = make()
        with self.lock:  # a batch is loaded by several threads
            if key not in self.kept and array.nbytes <= self.room:
                array.flags.writeable = False
                self.kept[key] = array
                self.room -= array.nbytes
        return array

    def _partners(self, index: int, rng: np.random.Generator) -> list[int]:
        """Draw four other images, different ones if there are as many; alone, the image itself."""
        others = len(self.names) - 1
        steps = rng.choice(others, 4, replace=others < 4) + 1 if others else np.zeros(4, int)
        return ((index + steps) % len(self.names)).tolist()

    def _head_planes(self, instances: np.ndarray) -> list[np.ndarray]:
        planes = []
        if "inside" in self.planes:
            planes += list(inside_distances(instances))
        if "id_low" in self.planes:
            planes += [(instances & 255).astype(np.uint8), (instances >> 8).astype(np.uint8)]
        return planes


def plane_names(heads: list[str], *, soft: bool = False) -> tuple[str, ...]:
    """Name the uint8 planes of a training crop, in their order.

    Parameters
    ----------
    heads : list of str
        Of the network: mask, border, contact, boundary_distance, embedding, empty.
    soft : bool
        Whether the mask learns a probability.

    Returns
    -------
    names : tuple of str
        target: 0 background, 1 object, 255 ignored. d1, d2: distances to the two nearest objects
        in quarter pixels. sqrt_area: of the object, in pixels. Where a head needs them, inside and
        inside_relative: see `src.training.inside_distances`; id_low, id_high: bytes of the instance
        label. soft: the probability of the mask * 255.
    """
    names = ["target", "d1", "d2", "sqrt_area"]
    if "border" in heads or "boundary_distance" in heads:
        names += ["inside", "inside_relative"]
    if "embedding" in heads:
        names += ["id_low", "id_high"]
    return tuple([*names, "soft"] if soft else names)


def training_target(instances: np.ndarray) -> np.ndarray:
    """Turn instances, uint16 (H, W), into 0 background, 1 object, 255 ignored, uint8 (H, W)."""
    target = (instances > 0).astype(np.uint8)
    target[instances == IGNORE] = IGNORED
    return target


def resized(image: np.ndarray, planes: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale an image smoothly and its planes by nearest neighbour, so that no value is made up.

    Distances and sizes keep the unit of the original pixels.
    """
    if factor == 1:
        return image, planes
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, (width, height), interpolation=smooth)
    return scaled, cv2.resize(planes, (width, height), interpolation=cv2.INTER_NEAREST)


def padded(
    image: np.ndarray, planes: np.ndarray, size: int, padding: str
) -> tuple[np.ndarray, np.ndarray]:
    """Pad both to at least `size` x `size`, centred: edge repeated or mirrored, planes 255."""
    height, width = image.shape[:2]
    down, right = max(0, size - height), max(0, size - width)
    if not down and not right:
        return image, planes
    top, left = down // 2, right // 2
    image = cv2.copyMakeBorder(image, top, down - top, left, right - left, BORDERS[padding])
    framed = np.full((*image.shape[:2], planes.shape[2]), IGNORED, np.uint8)
    framed[top : top + height, left : left + width] = planes
    return image, framed


def _channels_first(array: np.ndarray) -> torch.Tensor:
    """Turn (H, W, C) into a tensor (C, H, W); faster than a transposed copy."""
    planes = np.empty((array.shape[2], *array.shape[:2]), array.dtype)
    cv2.split(array, list(planes))
    return torch.from_numpy(planes)
