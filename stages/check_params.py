"""Refuse a params.yaml with an unknown key or a value out of range, before anything runs.

    python -m stages.check_params data/params_checked.txt

Every stage checks the sections it reads, but one that is late in the pipeline would do so after
hours of training, and a section whose name is misspelt would be read by none. All others wait for
this stage, and what it writes is always the same: so none of them runs again because of it.

Reads  params.yaml
Writes params_checked.txt  one line
"""

import argparse
from pathlib import Path

from src.analysis.params import ErrorsParams
from src.base.errors import InputError
from src.base.files import write_text
from src.base.params import MEMBER_SECTIONS, check_sections, load_keys, load_params

CHECKED = "Every section and key of params.yaml is known, and every value in its range.\n"
