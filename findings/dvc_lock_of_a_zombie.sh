#!/usr/bin/env bash
# DVC takes a killed dvc for a running one as long as its parent has not asked for its exit status.
#
# Expected: the entries that a killed `dvc repro` leaves in .dvc/tmp/rwlock are dropped by the next run, with a warning, as
#   they are when there is no process of that number any more.
# Found: where the dead process is still a zombie, since its parent has not waited for it, the next run is refused: "is busy,
#   it is being blocked by: (PID 123)". psutil.pid_exists, which is asked, says True for zombies. --wait-for-lock waits for
#   the lock of the repository, not for this one.
# Matters: in containers whose first process collects no children (docker run without --init), where that lasts until the
#   container ends, and to programs that kill `dvc` and start it again without waiting for it.
# With: dvc 3.67.1, Python 3.11, Linux, November 2026.
set -euo pipefail
trap 'echo "changed: no longer a finding"' ERR
work=$(mktemp -d)
trap 'kill "$parent" 2> /dev/null || true; rm -rf "$work"' EXIT
parent=
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1
export PATH="$work/venv/bin:$PATH"
mkdir "$work/repository" && cd "$work/repository"
git init --quiet && dvc init --quiet && dvc config core.analytics false
cat > dvc.yaml << 'YAML'
stages:
  slow:
    cmd: test -e quick || sleep 20; echo done > out.txt
    outs: [out.txt]
YAML

# A parent that never waits: the shell becomes a sleep.
bash -c 'dvc repro > first.txt 2>&1 & echo $! > number; exec sleep 60' &
parent=$!
until grep -qs "sleep 20" first.txt; do sleep 0.1; done
sleep 1
number=$(cat number)
kill -KILL "$number"
until grep -qs "State:.Z" "/proc/$number/status"; do sleep 0.1; done
touch quick

status=0
dvc --wait-for-lock repro > second.txt 2>&1 || status=$?
echo "beside a zombie: exit status $status"
cat second.txt
[ "$status" -ne 0 ]
grep -q "is being blocked by" second.txt
grep -q "(PID $number)" second.txt

kill "$parent"
while [ -e "/proc/$number" ]; do sleep 0.1; done
dvc --wait-for-lock repro > third.txt 2>&1
echo "once it is gone: exit status 0"
grep -q "had been killed. Auto removed it from the lock file" third.txt
echo "still so: a killed dvc locks its stage until its parent has waited for it"
