"""Show how often 95 % intervals hold the truth, on simulated data sets where it is known.

    python -m benchmarks.interval_coverage [--sets 1000]

Every group has objects, a quality of its own and what a technique changes on it; every seed of a
training has a quality besides, and another one on each group. From them come right and wrong
detections, from these F1. The truth is that of very many groups and seeds.

    percentiles   2.5 and 97.5 of draws of groups, as they are
    interval      of one seed, as evaluate and experiments.compare tell it: wider for few groups
    both drawn    percentiles where seeds and groups are drawn with replacement
    by seeds      of several seeds, as experiments.compare tells it: by parts of the variance

Writes benchmarks/results/interval_coverage.json
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.differences import paired_difference
from src.judging.group_draws import Sampled, group_weights, percentiles

RESULT = Path(__file__).parent / "results" / "interval_coverage.json"
DRAWS = 400  # of groups, for each interval
DATA_SETS, MANY = 300, (30, 300)  # and their seeds and groups, that stand for all
QUALITY = (8.0, 3.0)  # of the beta distribution of groups
ON_GROUP, ON_BOTH = 0.03, 0.02  # standard deviations, of what changes on a group, and with a seed
GROUPS, FEW = (16, 40), (3, 5, 8)
SEEDS = (3, 5)
OF_SEED = (0.0, 0.01, 0.03)  # standard deviation of the quality of a seed
EFFECTS = (0.0, 0.02)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000, help="simulated for each row")
    sets = parser.parse_args(argv).sets
    cases = [(1, groups, 0.0, effect) for groups in (*FEW, *GROUPS) for effect in EFFECTS]
    cases += [
        (seeds, groups, of_seed, effect)
        for of_seed in OF_SEED
        for seeds in SEEDS
        for groups in GROUPS
        for effect in EFFECTS
    ]
    rows = [_covered(*case, sets) for case in tqdm(cases, "coverage", unit="row")]
    result = {"sets": sets, "draws": DRAWS, "numpy": np.__version__, "rows": rows}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + "---:|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join("" if cell is None else str(cell) for cell in row.values()) + " |")


def _covered(seeds: int, groups: int, of_seed: float, effect: float, sets: int) -> dict:
    """Count how often each interval holds the true difference."""
    rng = np.random.default_rng(0)
    drawn_anew = (_counts(rng, *MANY, of_seed, effect) for _ in range(DATA_SETS))
    base, other = np.sum([[one.sum(axis=(0, 1)) for one in pair] for pair in drawn_anew], axis=0)
    truth = float(_f1(other) - _f1(base))
    ways = ("percentiles", "interval") if seeds == 1 else ("both drawn", "by seeds")
    held = dict.fromkeys(("percentiles", "interval", "both drawn", "by seeds"))
    held |= dict.fromkeys(ways, 0)
    for number in range(sets):
        base, other = (
            _sampled(one, groups, number) for one in _counts(rng, seeds, groups, of_seed, effect)
        )
        found = paired_difference(base, other)
        ours = (found.low, found.high)
        drawn = np.array([b.samples - a.samples for a, b in zip(base, other, strict=True)])
        if seeds > 1:
            chosen = rng.integers(seeds, size=(seeds, DRAWS))
            drawn = np.take_along_axis(drawn, chosen, axis=0).mean(axis=0)
        plain = percentiles(Sampled(0.0, drawn.ravel(), groups))
        for way, (low, high) in zip(ways, (plain, ours), strict=True):
            held[way] += low <= truth <= high  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]  numbers
    told = {way: None if count is None else round(count / sets, 3) for way, count in held.items()}
    return {"seeds": seeds, "groups": groups, "of a seed": of_seed, "effect": effect, **told}


def _counts(
    rng: np.random.Generator, seeds: int, groups: int, of_seed: float, effect: float
) -> list[np.ndarray]:
    """Simulate base and other: right and wrong detections and objects (seeds, groups, 3)."""
    quality = rng.beta(*QUALITY, groups)
    objects = np.broadcast_to(rng.poisson(rng.gamma(4, 8, groups)) + 1, (seeds, groups))
    simulated = []
    for gain in (0.0, effect):
        at = (
            quality
            + gain
            + rng.normal(0, ON_GROUP, groups)
            + rng.normal(0, ON_BOTH, (seeds, groups))
        )
        at = np.clip(at + rng.normal(0, of_seed, (seeds, 1)), 0.01, 0.99)
        right = rng.binomial(objects, at)
        simulated.append(np.stack([right, rng.poisson(0.7 * objects * (1 - at)), objects], axis=-1))
    return simulated


def _sampled(counts: np.ndarray, groups: int, number: int) -> list[Sampled]:
    weights = group_weights(np.arange(groups), DRAWS, number)
    return [Sampled(float(_f1(one.sum(axis=0))), _f1(weights @ one), groups) for one in counts]


def _f1(sums: np.ndarray) -> np.ndarray:
    return 2 * sums[..., 0] / sums.sum(axis=-1)


if __name__ == "__main__":
    main()
