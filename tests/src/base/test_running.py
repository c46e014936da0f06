import ast
import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.base.files import new_folder
from src.base.running import LONGEST, limit_of, sentence

ROOT = Path(__file__).parents[3]


def test_every_stage_ends_with_it():
    for script in (ROOT / "stages").glob("*.py"):
        last = ast.parse(script.read_text()).body[-1]
        assert ast.unparse(last) == "if __name__ == '__main__':\n    run_stage(main)", script.name


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left on the disk; make"),
        (OSError(errno.EDQUOT, "quota"), "the quota of the disk is used up"),
        (OSError(errno.EFBIG, "large"), "a file grew larger than"),
        (OSError(errno.EMFILE, "many"), "raise `ulimit -n`, or lower train.workers"),
        (OSError(errno.ENOSPC, "none", "/a/b"), "/a/b: no space is left"),
        (MemoryError(), "memory is used up"),
        (RuntimeError("CUDA out of memory. Tried to"), "lower train.batch_size .* train.crop_size"),
        (RuntimeError("unable to allocate shared memory(shm)"), "/dev/shm .* train.workers to 0"),
        (RuntimeError("DataLoader worker (pid 1) is killed by signal"), "train.workers to 0"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), "memory is used up"),
        (MemoryError(), "LOKY_MAX_CPU_COUNT to fewer processes"),
        (OSError("x: Error while serializing: I/O error: (os error 28)"), "no space is left"),
    ],
)
def test_a_limit_of_the_machine_is_told_with_what_to_do(error, told):
    assert re.search(told, limit_of(error))


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "denied"), RuntimeError("shapes differ"), KeyError("a")]
)
def test_other_errors_are_no_limits(error):
    assert limit_of(error) is None


def test_a_message_is_cut_where_it_is_endless_and_its_notes_follow():
    error = ValueError()
    error.add_note("go on")
    assert sentence("short", error) == "short; go on"
    assert sentence("x" * 3_000_000, ValueError()) == "x" * LONGEST + " ... (cut)"


def run_main(body, **options):
    code = (
        f"import os, signal, time\nfrom pathlib import Path\nfrom src.base.errors import *\n{body}"
    )
    code += "\nfrom src.base.running import run_stage\nrun_stage(main)"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.mark.parametrize(
    ("does", "told"),
    [
        ("raise InputError('a: wrong, mend it')", "a: wrong, mend it"),
        ("raise OSError(28, 'full')", "no space is left on the disk; make room"),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", "stopped by SIGTERM"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", "interrupted"),
    ],
)
def test_an_end_is_one_sentence(does, told):
    process = run_main(f"def main(): {does}")
    assert process.communicate()[1] == f"{told}\n"
    assert process.returncode == 1


LIMITED = "import resource\n    resource.setrlimit(resource.RLIMIT_{}, ({}, {}))\n    "


@pytest.mark.parametrize(
    ("does", "told"),
    [
        (LIMITED.format("AS", 1 << 33, 1 << 33) + "bytes(1 << 34)", "memory is used up; close"),
        (
            LIMITED.format("AS", 1 << 33, 1 << 33)
            + "import cv2, numpy\n    cv2.resize(numpy.zeros((9, 9)), (1 << 15, 1 << 15))",
            "memory is used up; close",
        ),
        (
            LIMITED.format("NOFILE", 30, 30) + "kept = [open('/dev/null') for _ in range(30)]",
            "/dev/null: too many files are open at once; raise `ulimit -n`",
        ),
        (
            LIMITED.format("FSIZE", 1000, 1000) + "write_text(Path({folder!r}, 'a'), 'a' * 1001)",
            "a file grew larger than the disk or `ulimit -f` permits",
        ),
        ("Path('/dev/full').write_text('a')", "no space is left on the disk; make room"),
    ],
)
def test_a_real_limit_is_told_in_a_sentence_and_leaves_nothing(tmp_path, does, told):
    does = does.replace("{folder!r}", repr(str(tmp_path)))
    process = run_main(f"from src.base.files import write_text\ndef main():\n    {does}\n")
    error = process.communicate(timeout=60)[1]
    assert error.startswith(told)
    assert error.count("\n") == 1
    assert process.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_defect_keeps_its_traceback():
    error = run_main("def main(): 1 / 0").communicate()[1]
    assert error.startswith("Traceback")
    assert error.endswith("ZeroDivisionError: division by zero\n")


def test_sigterm_leaves_nothing_partial(tmp_path):
    body = f"""
from src.base.files import new_folder, new_file
def main():
    with new_folder(Path({str(tmp_path)!r}, "a")) as a, new_file(Path({str(tmp_path)!r}, "b")) as b:
        b.write_text("half")
        (a / "c").write_text("half")
        time.sleep(60)
"""
    process = run_main(body)
    while len(list(tmp_path.rglob("*"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[1] == "stopped by SIGTERM\n"
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_removed_and_that_of_running_ones_kept(tmp_path):
    body = f"""
from src.base.files import new_folder
def main():
    with new_folder(Path({str(tmp_path)!r}, "a")) as folder:
        (folder / "c").write_text("half")
        time.sleep(60)
"""
    killed, running = run_main(body), run_main(body)
    while len(list(tmp_path.rglob("c"))) < 2:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    os.mkdir(tmp_path / "ab.1.partial")  # of another output
    with new_folder(tmp_path / "a") as folder:
        (folder / "d").write_text("whole")
        assert {path.name for path in tmp_path.iterdir()} == {
            f"a.{running.pid}.partial", f"a.{os.getpid()}.partial", "ab.1.partial",
        }  # fmt: skip
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=20)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "ab.1.partial"}
    assert (tmp_path / "a/d").read_text() == "whole"
