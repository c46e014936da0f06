#!/usr/bin/env bash
# Expected: what `run.log(row, step=n, commit=True)` was given in offline mode is in the run's file
#     soon, since the service that writes it is a process of its own, which outlives the caller.
# Found: rows stay in the memory of that service for up to 15 seconds. When the caller is killed
#     (SIGKILL, as for want of memory), the service sees that its parent is gone and ends at once
#     without writing them: of three rows, logged over two seconds, the file has its header of 7
#     bytes and nothing else, no run either. With `x_transaction_log_flush_interval=0.1` among the
#     settings the file has them all.
# Matters: to who keeps the figures of trainings that may be killed, and goes on in the same run.
# With: wandb 0.31.0, Python 3.11, Linux, November 2026.
set -euo pipefail
trap 'echo "changed: no longer a finding"' ERR
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check wandb==0.31.0
cat > "$work/log.py" <<'PYTHON'
import os, signal, sys, time
import wandb
folder, *interval = sys.argv[1:]
quiet = {"console": "off", "silent": True, "x_disable_stats": True}
if interval:
    quiet["x_transaction_log_flush_interval"] = float(interval[0])
os.makedirs(folder)
run = wandb.init(project="p", mode="offline", dir=folder, settings=wandb.Settings(**quiet))
for step in (1, 2, 3):
    run.log({"loss": 1 / step}, step=step, commit=True)
    time.sleep(0.7)
os.kill(os.getpid(), signal.SIGKILL)
PYTHON

size() {  # of the file that a killed run has left
    "$work/venv/bin/python" "$work/log.py" "$work/$1" "${@:2}" > /dev/null 2>&1 || true
    sleep 5
    stat --format %s "$work/$1"/wandb/offline-run-*/run-*.wandb
}

cd "$work"
export WANDB_ERROR_REPORTING=false
by_default=$(size by_default) soon=$(size soon 0.1)
echo "bytes after a kill: $by_default by default, $soon when written each 0.1 s"
test "$by_default" -eq 7 && test "$soon" -gt 500
echo "still so: a killed run that is offline loses its last 15 seconds"
