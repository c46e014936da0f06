import os
import shutil
from types import SimpleNamespace

import pytest
from torch import nn

from src.base.errors import InputError
from src.training import free_space
from src.training.free_space import bytes_of_training, refuse_full_disk

NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2))
LEARNT = 4 * (18 + 2 + 2)  # bytes of weights of convolution, scale and shift
STATE = LEARNT + 4 * (2 + 2) + 8  # and mean, variance and how many batches they are of


@pytest.mark.parametrize(
    ("ema_decay", "snapshots", "networks"), [(0.0, 0, 2), (0.99, 0, 3), (0.0, 1, 2), (0.99, 5, 7)]
)
def test_a_checkpoint_holds_networks_and_moments_and_is_there_twice(ema_decay, snapshots, networks):
    train = SimpleNamespace(ema_decay=ema_decay, snapshots=snapshots)
    assert bytes_of_training(NETWORK, train) == (2 * (networks * STATE + 2 * LEARNT), STATE)


def test_a_disk_without_room_is_named_with_the_bytes(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2_999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    refuse_full_disk({tmp_path / "a": 1_000, tmp_path / "b/c": 1_999})
    words = "/a: training writes up to 3,000 bytes to its disk, of which 2,999 are free; make room"
    with pytest.raises(InputError, match=words):
        refuse_full_disk({tmp_path / "a": 1_000, tmp_path / "b/c": 2_000})
    assert list(tmp_path.iterdir()) == []


def test_disks_are_looked_at_one_by_one(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    usage = shutil.disk_usage(tmp_path)
    free = {tmp_path: 500, tmp_path / "other": 50}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free[path]))
    disks = {tmp_path: 1, tmp_path / "other": 2}
    stat = SimpleNamespace(stat=lambda path: SimpleNamespace(st_dev=disks[path]))
    monkeypatch.setattr(free_space, "os", stat)
    refuse_full_disk({tmp_path / "a": 500, tmp_path / "other/b": 50})
    with pytest.raises(InputError, match=f"other{os.sep}b: training writes up to 51 bytes"):
        refuse_full_disk({tmp_path / "a": 500, tmp_path / "other/b": 51})
