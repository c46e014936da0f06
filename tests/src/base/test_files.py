import os
import subprocess
import sys

import pytest

from src.base.files import new_folder, write_text


def test_the_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a" / "out"
    with new_folder(path) as folder:
        (folder / "file").write_text("x")
        assert not path.exists()
    assert (path / "file").read_text() == "x"
    assert [p.name for p in path.parent.iterdir()] == ["out"]


def fail_in(path):
    with new_folder(path) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError("stop")


def test_an_error_leaves_nothing_of_the_new_folder(tmp_path):
    with pytest.raises(RuntimeError, match="stop"):
        fail_in(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_former_folder_as_it_was(tmp_path):
    with new_folder(tmp_path / "out") as folder:
        (folder / "old").write_text("x")
    with pytest.raises(RuntimeError, match="stop"):
        fail_in(tmp_path / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old"]


def test_what_was_there_before_is_gone(tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "of a killed run").write_text("x")
    for name in ("first", "second"):
        with new_folder(tmp_path / "out") as folder:
            (folder / name).write_text("x")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["second"]


def test_a_text_file_is_written_as_it_is_and_its_folders_made(tmp_path):
    path = tmp_path / "a" / "b.csv"
    write_text(path, "name\r\nMünster\n")
    assert path.read_bytes() == "name\r\nMünster\n".encode()
    write_text(path, "again\n")
    assert path.read_bytes() == b"again\n"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_former_text_as_it_was(tmp_path):
    write_text(tmp_path / "b.csv", "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "b.csv", "new" * 10_000 + "\ud800")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old\n"]


def test_what_a_killed_process_left_that_nobody_has_waited_for_is_removed(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still has its number
    left = tmp_path / f"out.{process.pid}.partial"
    left.mkdir()
    with new_folder(tmp_path / "out"):
        assert not left.exists()
    process.wait()
