"""Average the networks of several members into one: the soup of one fold.

    python -m stages.average_models data/prepared data/folds.csv data/models \
        data/soups/mix/fold0 --soup mix --fold 0

The weights are averaged, then the statistics of batch norms are measured anew on the images of the
other folds, which the networks were trained on; never on the fold they left out. They are taken as
crops of their centre. Where all networks have the same statistics (one network, or batch norms
frozen in training) these are kept.

Reads  prepared/train/images.csv, folds.csv   the images and their folds
       prepared/train/images.zip              uint8 RGB (H, W, 3)
       models/<member>/fold<k>/               as train writes it
Writes model.safetensors, model.json   as train does; model.json is that of the members
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from src.base.errors import InputError
from src.base.files import new_folder
from src.base.params import load_keys, load_params
from src.base.running import run_stage
from src.folds.fold_images import fed_depths, fold_images
from src.formats.prepared import open_photos, read_photo
from src.merging.soups import SoupsParams, soup_members
from src.networks.contrast import equalise
from src.networks.device import choose_device
from src.networks.model import load_model, save_model, stride
from src.networks.network_input import network_input
from src.networks.positions import needs_positions, position_bytes
from src.networks.resizing import image_tensor, resized
from src.training.weight_average import (
    average_states,
    differing_statistics,
    images_in_full_company,
    refresh_batch_norm,
)

CROP = 128  # px, raised to a multiple of the network's stride
BATCH = 8  # images


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("models", type=Path)
    parser.add_argument("soup_model", type=Path, help="folder to write")
    parser.add_argument("--soup", required=True)
    parser.add_argument("--fold", type=int, required=True, help="the fold that is left out")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    soups = load_params(args.params, "soups", SoupsParams)
    members = soup_members(args.params, soups, args.soup, load_keys(args.params, "members"))

    networks = [load_model(args.models / member / f"fold{args.fold}") for member in members]
    network, description = networks[0]
    for member, (_, other) in zip(members[1:], networks[1:], strict=True):
        pair = f"{args.params}: soups.{args.soup}: {members[0]} and {member}"
        _refuse_difference(pair, description, other)
    states = [one.state_dict() for one, _ in networks]
    average = average_states(states, [1 / len(states)] * len(states))
    stale = differing_statistics(states)  # before the state of the first is overwritten
    network.load_state_dict(average)
    if stale:
        device, _ = choose_device("float32")
        network = network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  torch's stub lacks memory_format
        refresh_batch_norm(network, _batches(args, description, stride(network), device), stale)
    with new_folder(args.soup_model) as folder:
        save_model(folder, network.eval(), description)
    print(f"{', '.join(members)} -> {args.soup_model}")


def _refuse_difference(pair: str, description: dict, other: dict) -> None:
    """Refuse networks that are not built and fed alike."""
    for key in sorted(description.keys() | other.keys()):
        if description.get(key) != other.get(key):
            raise InputError(
                f"{pair} differ in {key} ({description.get(key)} and {other.get(key)}); average "
                "networks that are built and fed alike"
            )


def _batches(args, description: dict, multiple: int, device) -> Iterator[torch.Tensor]:
    """Yield the network's inputs, centre crops of all images but those of the left-out fold."""
    table = fold_images(args.prepared, args.folds, args.fold)
    table = table[table["in_train"] & ~table["left_out"]]
    names, depths = table["name"].tolist(), fed_depths(table, description)
    photos = open_photos(args.prepared, "train")
    inputs = {key: description[key] for key in ("image_channels", "extra_channels", "mean", "std")}
    names = names[: images_in_full_company(len(names), BATCH)]
    for start in tqdm(range(0, len(names), BATCH), "refresh batch norms", unit="batch"):
        batch = names[start : start + BATCH]
        crops = [_crop(read_photo(photos, name), description, multiple) for name in batch]
        depth = torch.from_numpy(depths[start : start + len(batch)])
        yield network_input(torch.stack(crops).to(device), depth.to(device), **inputs)


def _crop(image: np.ndarray, description: dict, multiple: int) -> torch.Tensor:
    """Return the centre of an image as the network is fed with it, its edge repeated if small."""
    if description["clahe"]:
        image = equalise(image, description["clahe"])
    image = resized(image, description["resize"])
    side = -(-CROP // multiple) * multiple
    rows, columns = (
        (np.arange(side) - (side - length) // 2).clip(0, length - 1) for length in image.shape[:2]
    )
    if needs_positions(description["extra_channels"]):
        image = np.dstack([image, position_bytes(*image.shape[:2])])
    return image_tensor(image[rows[:, None], columns]).contiguous()


if __name__ == "__main__":
    run_stage(main)
