import numpy as np
import psutil
import pytest

from src.formats.archive import encode_png
from src.parallel import memory
from src.parallel.memory import available_memory, most_pixels

MACHINE = 8_000_000_000


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Function that makes a control group of some limit; the process is in /job/step."""
    (tmp_path / "of_process").write_text("0::/job/step\n")
    monkeypatch.setattr(memory, "OF_PROCESS", tmp_path / "of_process")
    monkeypatch.setattr(memory, "CONTROL_GROUPS", tmp_path)
    available = psutil.virtual_memory()._replace(available=MACHINE)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available)

    def group(name, limit, taken, cache=0, names=memory.VERSIONS[2]):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text(f"{taken}\n")
        (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\n")

    return group


def test_without_a_limit_it_is_what_the_machine_has(groups):
    assert available_memory() == MACHINE
    groups("job/step", "max", 5)
    assert available_memory() == MACHINE


def test_a_limit_that_is_nearer_holds_without_what_is_taken(groups):
    groups("job/step", 3_000_000_000, 1_000_000_000, cache=400_000_000)
    assert available_memory() == 2_400_000_000  # files that were read can be given back
    groups("job/step", 30_000_000_000, 1_000_000_000)
    assert available_memory() == MACHINE


def test_the_limit_of_a_group_around_holds_too(groups):
    groups("job/step", "max", 0)
    groups("job", 2_000_000_000, 1_500_000_000)
    assert available_memory() == 500_000_000
    groups("", 1_000_000, 2_000_000)
    assert available_memory() == 0


def test_groups_of_the_first_version_count_too(groups, tmp_path):
    (tmp_path / "of_process").write_text("5:cpu:/x\n4:hugetlb,memory:/job\n1:name=systemd:/y\n")
    groups("memory/job", 700, 300, cache=50, names=memory.VERSIONS[1])
    assert available_memory() == 450


def test_where_there_are_no_groups_the_machine_holds(groups, tmp_path):
    (tmp_path / "of_process").unlink()
    assert available_memory() == MACHINE


def test_the_largest_map_is_told_by_the_first_bytes():
    files = [encode_png(np.zeros(shape, np.uint16)) for shape in ((3, 70), (20, 30), (599, 1))]
    assert most_pixels(file[:24] for file in files) == 600
    assert most_pixels([]) == 0
    wrong = [b"", files[0][:20], b"\xff\xd8\xff" + files[0]]
    assert most_pixels([*wrong, files[0]]) == 210
