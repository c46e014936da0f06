#!/usr/bin/env bash
# torch.nn.SyncBatchNorm.convert_sync_batchnorm takes the activations out of timm's networks.
#
# Expected: the same network, whose batch norms see the batch of all processes. In evaluation mode, where
#   they use the statistics kept, it answers as before.
# Found: timm's BatchNormAct2d, a batch norm with its activation in it, is replaced by a bare SyncBatchNorm.
#   The activation is hung into the new layer as a child that nothing calls: printed, counted and in
#   the state the network looks as before, but it computes without it. No warning.
# Matters: to all who follow torch's manual with an encoder of timm (EfficientNet, MobileNet, RegNet, ...),
#   alone or in segmentation-models-pytorch: training goes on, worse. timm.layers.convert_sync_batchnorm
#   keeps the activation.
# With: torch 2.12.1, timm 1.0.31, Linux x86-64, November 2026; one process is enough.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.12.1 torchvision timm==1.0.31

cat > "$folder/show.py" <<'PYTHON'
import sys

import timm
import torch

torch.manual_seed(0)
network = timm.create_model("mobilenetv3_small_050", pretrained=False).eval()
image = torch.rand(1, 3, 64, 64)
with torch.inference_mode():
    before = network(image)
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(network).eval()
    after = converted(image)
kinds = (torch.nn.ReLU, torch.nn.Hardswish)
activations = sum(isinstance(module, kinds) for module in converted.modules())
print(f"torch {torch.__version__}, timm {timm.__version__}")
print(f"  answers before {before[0, :3].tolist()}")
print(f"  answers after  {after[0, :3].tolist()}, with {activations} activations listed")
sys.exit(torch.allclose(before, after, atol=1e-4))
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
echo "still so: a converted network answers without its activations"
