"""Measure how surely and how fast turned, mirrored and recompressed copies of tiles are found.

    python -m benchmarks.near_duplicates

4,500 drawn tiles of 128x128, cut from 180 scenes, and 500 copies of some of them: each copy in one
of the eight views in turn, its brightness changed by up to 5 %. All are JPEG files of quality 60
to 95. Three ways of finding the copies see the same files, on one core:

- canonical: ours. A tile is shrunk and transformed once; its eight hashes follow from that.
- eight_times: the tile is turned eight ways, and each is shrunk, transformed and hashed as usual
  (the lowest 8x8 frequencies against their median). Index and comparison of pixels are ours.
- published: hashes as in eight_times, equal to the bit; no transposed views, no pixels compared.
  Its time to hash is taken as six eighths.

Recall is the share of copies joined with their original, precision that of pairs that are such.
Times are processor time; hashing is timed on tiles of 320x320 too. Drawing takes some minutes.

Writes benchmarks/results/near_duplicates.json
"""

import json
import platform
import time
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from src.duplicates.groups import number_clusters
from src.duplicates.near_duplicates import find_pairs
from src.duplicates.perceptual_hash import hash_views, shrink_twice, view
from src.sample.scenes import draw_scene
from src.sample.zones import ZONES

SCENES, SCENE_SIDE = 180, 640  # px
SIDE, LARGE_SIDE = 128, 320  # px, of tiles
COPIES = 500
BRIGHTNESS = 0.05  # largest relative change
QUALITIES = (60, 95)
DISTANCE, DIFFERENCE, LOCAL = 10, 12.0, 0.4  # as in params.yaml
PUBLISHED_VIEWS = [0, 2, 4, 6, 1, 5]  # as it is, three turns, two flips
RESULT = Path(__file__).parent / "results" / "near_duplicates.json"


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    drawn = Parallel(n_jobs=-1, return_as="generator")(delayed(_draw)(i) for i in range(SCENES))
    scenes = cast("list[np.ndarray]", list(tqdm(drawn, total=SCENES, desc="draw", unit="scene")))
    tiles = [tile for scene in scenes for tile in _cut(scene, SIDE)]
    originals = rng.permutation(len(tiles))[:COPIES]
    copies = [_change(rng, tiles[tile], i % 8) for i, tile in enumerate(originals)]
    files = [_compress(rng, tile) for tile in tiles + copies]
    truth = set(zip(originals.tolist(), range(len(tiles), len(files)), strict=True))

    images, decode_s = _timed(lambda: [_decode(file) for file in files])
    ours, ours_s = _timed(lambda: _hash_once(images))
    peers, peers_s = _timed(lambda: _hash_eight_times(images))
    scored = [
        {"way": "canonical", **_search(*ours[:2], truth, ours[2]), "hash_s": ours_s},
        {"way": "eight_times", **_search(*peers, truth), "hash_s": peers_s},
        {"way": "published", **_match_equal(peers[1], truth), "hash_s": peers_s * 6 / 8},
    ]
    rows = [_per_thousand(row | {"decode_s": decode_s}, len(files)) for row in scored]
    large = [
        cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY)
        for scene in scenes
        for tile in _cut(scene, LARGE_SIDE)
    ]
    large_ms = {
        "canonical": _timed(lambda: _hash_once(large))[1] / len(large) * 1e3,
        "eight_times": _timed(lambda: _hash_eight_times(large))[1] / len(large) * 1e3,
    }
    result = {
        "tiles": len(files),
        "side": SIDE,
        "copies": COPIES,
        "distance": DISTANCE,
        "difference": DIFFERENCE,
        "cores": 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "rows": [_rounded(row) for row in rows],
        f"hash_ms_per_tile_of_{LARGE_SIDE}": _rounded(large_ms),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| " + " | ".join(key.replace("_", " ") for key in rows[0]) + " |")
    print("|---" + "|---:" * (len(rows[0]) - 1) + "|")
    for row in result["rows"]:
        print("| " + " | ".join(map(str, row.values())) + " |")


def _draw(number: int) -> np.ndarray:
    kind = list(ZONES)[number % len(ZONES)]
    return draw_scene(np.random.default_rng([0, number]), kind, SCENE_SIDE, SIDE).image


def _cut(scene: np.ndarray, side: int) -> list[np.ndarray]:
    starts = range(0, SCENE_SIDE, side)
    return [scene[top : top + side, left : left + side] for top in starts for left in starts]


def _change(rng: np.random.Generator, tile: np.ndarray, number: int) -> np.ndarray:
    tile = np.moveaxis(view(np.moveaxis(tile, 2, 0), number), 0, 2)
    changed = tile * (1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


def _compress(rng: np.random.Generator, tile: np.ndarray) -> np.ndarray:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))]
    return cv2.imencode(".jpg", tile[..., ::-1], quality)[1]


def _decode(file: np.ndarray) -> np.ndarray:
    return cast("np.ndarray", cv2.imdecode(file, cv2.IMREAD_GRAYSCALE))


def _timed(work):
    started = time.process_time()
    return work(), time.process_time() - started


def _hash_once(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    thumbnails, finer = map(np.array, zip(*map(shrink_twice, images), strict=True))
    return thumbnails, hash_views(thumbnails), finer


def _hash_eight_times(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    thumbnails, hashes = [], []
    for image in images:
        small = [
            cv2.resize(
                np.ascontiguousarray(view(image, number)), (32, 32), interpolation=cv2.INTER_AREA
            )
            for number in range(8)
        ]
        low = [cv2.dct(thumbnail.astype(np.float32))[:8, :8] for thumbnail in small]
        bits = np.array([(waves > np.median(waves)).ravel() for waves in low])
        thumbnails.append(small[0])
        hashes.append(np.packbits(bits, axis=1).view(np.uint64)[:, 0])
    return np.array(thumbnails), np.array(hashes)


def _search(
    thumbnails: np.ndarray, hashes: np.ndarray, truth: set, finer: np.ndarray | None = None
) -> dict:
    limits = {"distance": DISTANCE, "difference": DIFFERENCE, "local_difference": LOCAL}
    pairs, seconds = _timed(lambda: find_pairs(thumbnails, hashes, **limits, finer=finer))
    found = np.stack([pairs.first, pairs.second], axis=1)
    return _score(found, len(hashes), truth) | {"search_s": seconds}


def _match_equal(hashes: np.ndarray, truth: set) -> dict:
    """Pair tiles of which one, in a published view, has the hash of the other as it is."""

    def match():
        numbers = {}
        for number, value in enumerate(hashes[:, 0].tolist()):
            numbers.setdefault(value, []).append(number)
        rows = enumerate(hashes[:, PUBLISHED_VIEWS].tolist())
        hits = ((a, b) for a, row in rows for value in set(row) for b in numbers.get(value, []))
        return np.array(sorted({(min(pair), max(pair)) for pair in hits if pair[0] != pair[1]}))

    found, seconds = _timed(match)
    return _score(found, len(hashes), truth) | {"search_s": seconds}


def _score(found: np.ndarray, count: int, truth: set) -> dict:
    clusters = number_clusters(count, found)
    joined = sum(clusters[a] == clusters[b] >= 0 for a, b in truth)
    right = sum(tuple(pair) in truth for pair in found.tolist())
    return {"recall": joined / len(truth), "pairs": len(found), "precision": right / len(found)}


def _per_thousand(row: dict, tiles: int) -> dict:
    """Turn the seconds of a row into those of 1,000 tiles, and add them up."""
    seconds = {key: row[key] / tiles * 1000 for key in ("decode_s", "hash_s", "search_s")}
    return row | seconds | {"total_s": sum(seconds.values())}


def _rounded(row: dict) -> dict:
    return {key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()}


if __name__ == "__main__":
    main()
