#!/usr/bin/env bash
# OpenCV 5 loses every other column when it shifts labels by half a pixel; OpenCV 4 keeps all.
#
# Expected: warpAffine with INTER_NEAREST by half a pixel takes the neighbour on one side, all over
#   the image: it looks like a shift by a whole pixel, or by none. A new major version does the same.
# Found: version 5 rounds source coordinates half to even, so that 0.5, 1.5, 2.5, 3.5 become
#   0, 2, 2, 4: half of the columns are gone, the others are there twice. Version 4.14 rounds all to
#   one side. (remap does in both versions what warpAffine does in 5.) Bilinear values change
#   too: 4.14 knows positions to 1/32 px, 5 to the full precision.
# Matters: halves are what centres bring: a centred crop or pad by an odd margin, a shift that puts
#   the middle of an even side on that of an odd one. Objects one pixel wide vanish or double, lines
#   between touching objects with them, and the training targets of one seed differ by version.
# With: opencv-python-headless 4.14.0.94 and 5.0.0.93, Linux x86-64, November 2026.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.14.0.94 5.0.0.93; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/python" -m pip install --quiet --disable-pip-version-check \
        "opencv-python-headless==$version" numpy==2.4.6
done

cat > "$folder/show.py" <<'PYTHON'
import sys

import cv2
import numpy as np

labels = np.arange(1, 9, dtype=np.uint8)[None].repeat(2, 0)  # eight objects, one column each
shift = np.array([[1, 0, 0.5], [0, 1, 0]], np.float32)  # to the right
moved = cv2.warpAffine(labels, shift, (8, 2), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
line = np.zeros((2, 4), np.uint8)
line[:, 2] = 255
shift[0, 2] = 0.01
grey = cv2.warpAffine(line, shift, (4, 2), flags=cv2.INTER_LINEAR)
left = len(set(moved[0].tolist()))
print(f"OpenCV {cv2.__version__}")
print(f"  labels {labels[0].tolist()} by 0.50 px: {moved[0].tolist()}, {left} of 8 are left")
print(f"  grey   {line[0].tolist()} by 0.01 px: {grey[0].tolist()}")
wanted = {"4": (8, 255), "5": (4, 252)}[cv2.__version__[0]]
sys.exit((left, int(grey[0, 2])) != wanted)
PYTHON

for version in 4.14.0.94 5.0.0.93; do
    "$folder/$version/bin/python" "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
done
echo "still so: the same call, another set of objects"
