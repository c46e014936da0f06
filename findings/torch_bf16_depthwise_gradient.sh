#!/usr/bin/env bash
# The gradient of a 5 x 5 depthwise convolution takes several times as long in bf16 as in float32.
#
# Expected: a CPU with bf16 instructions trains faster in bf16 than in float32, or at worst alike; the
#   forward pass of a depthwise convolution (groups = channels) does take about as long in both.
# Found: its backward pass in bf16, channels last, is several times slower than in float32 where the
#   kernel is 5 x 5 (4.6 and 6 times, two runs), but not where it is 3 x 3. Under autocast nothing says so: a
#   profile shows convolution_backward, and the network as a whole merely gains little.
# Matters: EfficientNets and MobileNets have such layers in half of their stages. A U-Net on
#   tf_efficientnet_lite0 spent half of its training step in them; with these layers left out of
#   autocast a step takes 0.7 of the time.
# With: torch 2.13.0 (and 2.12.1), Linux x86-64, a CPU with avx512_bf16 and amx_bf16, November 2026.
#   On a CPU without bf16 instructions nothing is shown.
set -euo pipefail
grep -q avx512_bf16 /proc/cpuinfo || { echo "this CPU has no avx512_bf16: nothing to show"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

cat > "$folder/show.py" <<'PYTHON'
import sys
import time

import torch

torch.set_num_threads(1)


def milliseconds(kernel, dtype):
    """Return the least time of forward and backward passes, by the CPU's clock."""
    layer = torch.nn.Conv2d(144, 144, kernel, padding=kernel // 2, groups=144, bias=False)
    layer = layer.to(dtype, memory_format=torch.channels_last)
    maps = torch.randn(4, 144, 64, 64).to(dtype, memory_format=torch.channels_last)
    maps.requires_grad_(True)
    forward, backward = [], []
    for _ in range(6):
        start = time.process_time()
        answer = layer(maps)
        middle = time.process_time()
        answer.backward(torch.ones_like(answer))
        forward.append(middle - start)
        backward.append(time.process_time() - middle)
    return 1000 * min(forward), 1000 * min(backward)


print(f"torch {torch.__version__}, 4 x 144 x 64 x 64, channels last")
ratios = {}
for kernel in (3, 5):
    (forward, backward), (slow_forward, slow_backward) = (
        milliseconds(kernel, dtype) for dtype in (torch.float32, torch.bfloat16)
    )
    ratios[kernel] = slow_backward / backward
    print(f"  {kernel} x {kernel} forward  float32 {forward:6.1f} ms, bf16 {slow_forward:6.1f} ms")
    print(f"  {kernel} x {kernel} backward float32 {backward:6.1f} ms, bf16 {slow_backward:6.1f} ms")
sys.exit(ratios[5] < 2)
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
echo "still so: the gradient of 5 x 5 depthwise convolutions is slower in bf16"
