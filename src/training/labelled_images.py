"""Whole images with their labels, read where they are stored and kept in memory."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from src.formats.archive import ImageArchive
from src.formats.prepared import open_photos, read_photo
from src.networks.contrast import equalise
from src.training.targets import training_planes

MIB = 2**20


class PseudoLabels(NamedTuple):
    """What a trained network says of images without labels, in the place of labels."""

    instances: ImageArchive  # uint16 (H, W), 65535 where it is not sure
    weight_maps: ImageArchive  # uint8 (H, W, 3)
    soft: ImageArchive | None  # uint8 (H, W): probability of the mask * 255


class Sources(NamedTuple):
    """Where images and their labels are read."""

    photos: dict[str, ImageArchive]  # uint8 RGB (H, W, 3), by split
    instances: ImageArchive  # uint16 (H, W)
    weight_maps: ImageArchive  # uint8 (H, W, 3)
    pseudo: PseudoLabels | None = None  # has all maps of the images in its `instances`

    @property
    def soft(self) -> bool:
        """Whether the mask learns a probability, on some images at least."""
        return self.pseudo is not None and self.pseudo.soft is not None


def open_sources(prepared: Path, weight_maps: Path, pseudo: Path | None) -> Sources:
    """Open the archives of the training images, and of those of test with pseudo labels.

    Parameters
    ----------
    prepared : Path
        The folder that prepare_masks writes.
    weight_maps : Path
        The archive that compute_weight_maps writes.
    pseudo : Path, optional
        The folder that pseudo_label writes; without it images of test are not opened.

    Raises
    ------
    InputError
        If an archive is absent or none.
    """
    prepared = Path(prepared)
    instances = ImageArchive(prepared / "labels/train/instances.zip")
    maps = ImageArchive(weight_maps)
    if pseudo is None:
        return Sources(open_photos(prepared, "train"), instances, maps)
    kinds = [ImageArchive(pseudo / f"{kind}.zip") for kind in ("instances", "weight_maps")]
    soft = pseudo / "soft.zip"
    labels_of_test = PseudoLabels(*kinds, soft=ImageArchive(soft) if soft.exists() else None)
    return Sources(open_photos(prepared, "train", "test"), instances, maps, labels_of_test)


class LabelledImages(Dataset):
    """Images by their index, each with the planes that losses read.

    Parameters
    ----------
    sources : Sources
    names : list of str
        The images to use.
    planes : tuple of str
        Names of the planes, see `src.training.targets.plane_names`. "soft" is 0 and 255 except on
        images for which the pseudo labels have a probability.
    clahe : float
        Clip limit of local contrast equalisation of the images as stored; 0 is off.
    mixed : bool
        Whether instances are asked for beside the planes, as they are to mix images.
    cache_mb : float
        MiB of images and maps kept decoded, those that are drawn first; 0 keeps none. Each loader
        worker keeps as much of its own.
    """

    def __init__(
        self,
        sources: Sources,
        names: list[str],
        *,
        planes: tuple[str, ...],
        clahe: float,
        mixed: bool = False,
        cache_mb: float = 0.0,
    ):
        self.sources, self.names, self.plane_names = sources, names, planes
        self.pseudo_names = set(sources.pseudo.instances.names if sources.pseudo else ())
        self.clahe, self.mixed = clahe, mixed
        self.kept, self.room, self.lock = {}, int(cache_mb * MIB), Lock()  # arrays; bytes left

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image uint8 (H, W, 3) and planes uint8 (H, W, P), not to be changed."""
        return self.image(index), self.planes(index)

    def image(self, index: int) -> np.ndarray:
        """Return an image, uint8 (H, W, 3), its contrast equalised; not to be changed."""

        def make():
            image = read_photo(self.sources.photos, self.names[index])
            return equalise(image, self.clahe) if self.clahe else image

        return self._from_memory(("image", index), make)

    def instances(self, index: int) -> np.ndarray:
        """Return the labels of an image, uint16 (H, W), not to be changed."""
        name = self.names[index]
        pseudo, labelled = self.sources.pseudo, self.sources.instances
        archive = pseudo.instances if pseudo and name in self.pseudo_names else labelled
        if not self.mixed:  # needed for its planes alone
            return archive.read(name)
        return self._from_memory(("instances", index), lambda: archive.read(name))

    def planes(self, index: int) -> np.ndarray:
        """Return the planes of an image, uint8 (H, W, P), not to be changed."""

        def make():
            name, pseudo, soft = self.names[index], self.sources.pseudo, None
            weight_maps = self.sources.weight_maps
            if pseudo and name in self.pseudo_names:
                weight_maps = pseudo.weight_maps
                soft = pseudo.soft.read(name) if pseudo.soft else None
            weights = weight_maps.read(name)
            return training_planes(self.instances(index), weights, soft, self.plane_names)

        return self._from_memory(("planes", index), make)

    def is_kept(self, index: int) -> bool:
        """Tell whether an image and its planes are in memory."""
        return ("planes", index) in self.kept

    def _from_memory(self, key: tuple[str, int], make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return what `make` makes; kept from the first time on if it fits."""
        if key in self.kept:
            return self.kept[key]
        array = make()
        with self.lock:  # a batch is loaded by several threads
            if key not in self.kept and array.nbytes <= self.room:
                array.flags.writeable = False
                self.kept[key] = array
                self.room -= array.nbytes
        return array
