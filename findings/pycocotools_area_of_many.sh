#!/usr/bin/env bash
# pycocotools' area() refuses a list of more than 255 masks under NumPy 2.
#
# Expected: "area - Compute area of encoded masks", for one or for a list of any length, as iou(),
#   merge() and toBbox() take it.
# Found: it puts the length of the list into a uint8. NumPy 1 wrapped it around with a warning;
#   NumPy 2 raises OverflowError from 256 masks on, which speaks of neither masks nor lists.
# Matters: code that works on every image of a small set ends with a traceback on the first crowded
#   one, nuclei or roofs, hours later. Ask for the areas one by one.
# With: pycocotools 2.0.11, numpy 2.4.6, November 2026.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    pycocotools==2.0.11 numpy==2.4.6

cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings

import numpy as np
from pycocotools import mask

warnings.simplefilter("ignore", DeprecationWarning)
square = mask.encode(np.ones((2, 2), np.uint8, order="F"))
refused = {}
for name, call in (("area", mask.area), ("toBbox", mask.toBbox), ("merge", mask.merge)):
    for count in (255, 256):
        try:
            call([square] * count)
            answer = "answers"
        except OverflowError as error:
            refused[name, count] = answer = f"OverflowError: {error}"
        print(f"{name:>6} of {count} masks: {answer}")
sys.exit(set(refused) != {("area", 256)})
PYTHON

"$folder/venv/bin/python" "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
echo "still so: area() counts the masks of a list in 8 bits"
