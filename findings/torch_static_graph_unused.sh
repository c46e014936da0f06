#!/usr/bin/env bash
# DistributedDataParallel's static graph leaves gradients unshared, without a word, where a weight gets none.
#
# Expected: static_graph=True takes a network of which some weights get no gradient; its documentation counts unused
#   parameters among what it supports. The gradients of all others are the mean over the processes after every backward.
# Found: they are after the first backward. After the second those in the bucket of such a weight are each process's own, and
#   nothing is said. The third forward raises "Expected to have finished reduction in the prior iteration".
#   find_unused_parameters=True shares them in every step.
# Matters: to whoever wraps the network anew before a third step, for each epoch or when layers thaw: the processes train
#   apart, and the first one's weights are kept.
# With: torch 2.12.1, gloo, two processes on a CPU, Linux x86-64, November 2026.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.12.1 numpy==2.4.6

cat > "$folder/show.py" <<'PYTHON'
import os
import socket
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

WAYS = ({"static_graph": True}, {"find_unused_parameters": True})


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.mask, self.number = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, given):
        found = self.body(given)
        return self.mask(found), self.number(found)


def work(rank, port, way, folder):
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(0)
    network = Network()
    shared = DistributedDataParallel(network, **WAYS[way])
    told = []
    for _ in range(3):
        network.zero_grad()
        try:
            mask, _ = shared(torch.full((1, 4), rank + 1.0))
        except RuntimeError as error:
            told.append(str(error)[:71])
            break
        mask.sum().backward()  # no loss of the number
        own = network.mask.weight.grad
        parts = [torch.empty_like(own) for _ in range(2)]
        dist.all_gather(parts, own)
        told.append("shared" if torch.equal(*parts) else "each its own")
    if rank == 0:
        open(f"{folder}/{way}", "w").write("\n".join(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    print(f"torch {torch.__version__}")
    found = []
    for way, options in enumerate(WAYS):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        mp.start_processes(work, (port, way, sys.argv[1]), nprocs=2, start_method="fork")
        found.append(open(f"{sys.argv[1]}/{way}").read().split("\n"))
        print(f"  {options}: {'; '.join(found[-1])}")
    still = found[0][:2] == ["shared", "each its own"] and found[1] == ["shared"] * 3
    sys.exit(not still)
PYTHON

"$folder/venv/bin/python" -W ignore "$folder/show.py" "$folder" 2> /dev/null || { echo "changed: no longer a finding"; exit 1; }
echo "still so: a static graph leaves gradients unshared where a weight gets none"
