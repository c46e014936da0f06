#!/usr/bin/env bash
# pydantic's strict mode takes true for 1, and 1.0 for 1, where a choice is among numbers.
#
# Expected: strict=True coerces nothing. It refuses true and 1.0 for an int, and PEP 586 tells
#   Literal[1] from Literal[True], so that it refuses them for Literal[1, 2] too.
# Found: it compares with ==, by which true and 1.0 are 1: all are accepted, from Python as from
#   JSON, and silently become the number. Literal[True] accepts 1 in the same way.
# Matters: a settings file in YAML or JSON with `scale: true`, where someone took a choice of
#   numbers for a switch, passes as 1. The stricter type (Literal, in place of int) checks less.
# With: pydantic 2.14.3, November 2026.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check pydantic==2.14.3

cat > "$folder/show.py" <<'PYTHON'
import json
import sys
from typing import Literal

import pydantic


class Settings(pydantic.BaseModel, strict=True):
    whole: int = 1
    choice: Literal[1, 2] = 1
    switch: Literal[True] = True


def answer(check, content):
    try:
        return f"accepted as {next(iter(check(content).model_dump(exclude_unset=True).values()))!r}"
    except pydantic.ValidationError as error:
        return f"refused ({error.errors()[0]['type']})"


print(f"pydantic {pydantic.VERSION}, strict")
answers = {}
for key, value in [("whole", True), ("whole", 1.0), ("choice", True), ("choice", 1.0), ("switch", 1)]:
    python = answer(Settings.model_validate, {key: value})
    text = answer(Settings.model_validate_json, json.dumps({key: value}))
    answers[key, str(value)] = {python.split()[0], text.split()[0]}
    kind = str(Settings.model_fields[key].annotation).replace("typing.", "")
    print(f"  {value!r:>4} for {kind:<15} Python: {python:<21} JSON: {text}")
wanted = {"whole": {"refused"}, "choice": {"accepted"}, "switch": {"accepted"}}
sys.exit(any(found != wanted[key] for (key, _), found in answers.items()))
PYTHON

"$folder/venv/bin/python" "$folder/show.py" || { echo "changed: no longer a finding"; exit 1; }
echo "still so: int refuses what Literal[1, 2] accepts"
