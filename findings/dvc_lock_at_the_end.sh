#!/usr/bin/env bash
# Expected: `dvc repro -s` of two stages that have nothing in common can run side by side, since DVC
#     gives its lock away while a command runs; if the lock is needed at a bad moment, it is waited
#     for, or at least nothing is lost that has been computed.
# Found: when a stage's command has ended and another DVC process holds the lock at that moment (it
#     waits three seconds), the stage is recorded as failed: exit code 255, nothing in dvc.lock, the
#     finished output left behind, and the next `dvc repro` runs the command again from the start.
#     `--wait-for-lock` mends both ends, but only before the name of the command: behind it, as in
#     `dvc repro --wait-for-lock`, it is refused as unknown.
# Matters: to who trains the folds of a cross-validation side by side for hours.
# With: dvc 3.67.1, Python 3.11, Linux, November 2026.
set -euo pipefail
trap 'echo "changed: no longer a finding"' ERR
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$work/venv/bin:$PATH"
mkdir "$work/repository" && cd "$work/repository"
git init --quiet && dvc init --quiet && dvc config core.analytics false
cat > dvc.yaml <<'YAML'
stages:
  train:
    cmd: echo run >> ../runs && sleep 4 && echo model > model
    outs:
      - model
YAML
cat > ../hold.py <<'PYTHON'
import time
from dvc.repo import Repo
time.sleep(2)  # until the command of the stage runs
with Repo(".") as repository, repository.lock:  # as any other dvc command holds it
    print("another process holds the lock")
    time.sleep(12)
PYTHON
dvc --version

once() {  # options before `repro`: run the stage beside a holder of the lock; set rc
    : > ../runs; rm -f model dvc.lock
    python ../hold.py & holder=$!
    rc=0; dvc "$@" repro --single-item train > ../log 2>&1 || rc=$?
    wait "$holder"
    tail -n 2 ../log
    echo "dvc $* repro: exit code $rc, model: $(cat model 2>/dev/null || echo none), recorded: $(test -f dvc.lock && echo yes || echo no)"
}

once
test "$rc" -ne 0 && test ! -f dvc.lock
dvc repro --quiet train
runs=$(wc -l < ../runs)
echo "the command has run $runs times in all"
test "$runs" -eq 2
once --wait-for-lock
test "$rc" -eq 0 && test -f dvc.lock && test "$(wc -l < ../runs)" -eq 1
if dvc repro --wait-for-lock train > ../log 2>&1; then exit 1; fi
grep "unrecognized arguments: --wait-for-lock" ../log
echo "still so: a stage that has ended is lost to the lock of another process"
