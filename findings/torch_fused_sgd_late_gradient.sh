#!/usr/bin/env bash
# torch's fused SGD with momentum fails at the step in which a weight has its first gradient, if others had one before.
#
# Expected: "fused" is a faster way to the same step: weights without a gradient are passed over, and one that gets its
#   first gradient later begins with an empty momentum, as with `foreach` and the plain loop, and as fused Adam and AdamW do.
# Found: a TypeError, "expected Tensor as element 1 in argument 2, but got NoneType", in the step after.
# Matters: to whoever thaws an encoder stage by stage, or switches on the loss of a head in a later epoch: the training
#   dies there, long after its start.
# With: torch 2.12.1, Linux x86-64, November 2026.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.12.1 numpy==2.4.6

cat > "$folder/show.py" <<'PYTHON'
import sys

import torch

print(f"torch {torch.__version__}")


def late(make):
    """Let a second weight have its first gradient in the second step; return it, or the error."""
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimiser = make(weights)
    for learning in (weights[:1], weights):
        for weight in learning:
            weight.grad = torch.ones(2)
        try:
            optimiser.step()
        except TypeError as error:
            return f"TypeError: {error}"
    return weights[1].tolist()


momentum = {"lr": 0.1, "momentum": 0.9}
ways = {
    "SGD, plain": lambda weights: torch.optim.SGD(weights, **momentum),
    "SGD, foreach": lambda weights: torch.optim.SGD(weights, foreach=True, **momentum),
    "SGD, fused": lambda weights: torch.optim.SGD(weights, fused=True, **momentum),
    "AdamW, fused": lambda weights: torch.optim.AdamW(weights, lr=0.1, fused=True),
}
told = {name: late(make) for name, make in ways.items()}
for name, what in told.items():
    print(f"  {name}: {what}")
fails = [name for name, what in told.items() if isinstance(what, str)]
sys.exit(fails != ["SGD, fused"])
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
echo "still so: fused SGD with momentum fails where a weight begins to learn later"
