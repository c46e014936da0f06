#!/usr/bin/env bash
# torch.manual_seed takes 64 bits, of which the CPU's generator uses the low 32.
#
# Expected: "value must be within [-0x8000_0000_0000_0000, 0xffff_ffff_ffff_ffff]": other seeds, other
#   numbers; and `torch.initial_seed()` does return all 64 bits.
# Found: seeds that are equal modulo 2^32 draw the same numbers on a CPU. No warning.
# Matters: a seed made of parts (`seed + (rank << 32)`, a hash whose high bits tell runs apart) gives every
#   process the same dropout, noise and first weights.
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
drawn = []
for seed in (5, 5 + (1 << 32), 5 + (7 << 40)):
    torch.manual_seed(seed)
    drawn.append(torch.rand(3).tolist())
    print(f"  seed {torch.initial_seed()}: {drawn[-1]}")
sys.exit(not (drawn[0] == drawn[1] == drawn[2]))
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
echo "still so: seeds that differ in their high bits draw the same numbers"
