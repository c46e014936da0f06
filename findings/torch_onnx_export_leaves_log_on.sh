#!/usr/bin/env bash
# One quiet export to ONNX switches the log of the exporter on for the rest of the process.
#
# Expected: torch.onnx.export(..., dynamo=False, verbose=False) leaves the process-wide switch of the
#   exporter's C++ log as it found it, off: the code around the export saves and restores it.
# Found: the switch is off before and on after. What is saved is the function that tells the state, not
#   what it returns; a function counts as true, so that the log is switched on without being asked
#   for and never off again.
# Matters: a service that exports once, or a test suite of which one test does, writes the exporter's
#   lines to its error stream from then on, and no argument of a later export stops it; only
#   torch._C._jit_set_onnx_log_enabled(False) does.
# With: torch 2.13.0 and 2.12.1, onnx 1.23.2, Linux x86-64, November 2026.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 onnx==1.23.2

cat > "$folder/show.py" <<'PYTHON'
import io
import sys

import torch

before = torch._C._jit_is_onnx_log_enabled()
network = torch.nn.Conv2d(3, 1, 3)
torch.onnx.export(network, (torch.zeros(1, 3, 8, 8),), io.BytesIO(), dynamo=False, verbose=False)
after = torch._C._jit_is_onnx_log_enabled()
print(f"torch {torch.__version__}: log on before the export: {before}, after it: {after}")
sys.exit((before, after) != (False, True))
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
echo "still so: an export that was to be quiet leaves the log on"
