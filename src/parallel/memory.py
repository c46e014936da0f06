"""How much memory may be taken: of the machine, and of the group of processes that this is in."""

import math
import struct
from collections.abc import Iterable
from pathlib import Path

import psutil

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OF_PROCESS = Path("/proc/self/cgroup")
VERSIONS = {  # of control groups: limit, what is taken, and what of that can be given back at once
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_SIZE = struct.Struct(">16xII")  # width and height, in the first bytes of a file


def most_pixels(images: Iterable[bytes]) -> int:
    """Return the pixels of the largest of some PNG files, by their first bytes; 0 without one.

    What is no PNG file is left to whoever decodes it, and can name it.
    """
    sound = (one for one in images if one.startswith(PNG_START) and len(one) >= PNG_SIZE.size)
    return max((math.prod(PNG_SIZE.unpack_from(one)) for one in sound), default=0)


def largest(sizes: Iterable[tuple[int, int]]) -> int:
    """Return the pixels of the largest of some images, by their (H, W); 0 without one."""
    return max((height * width for height, width in sizes), default=0)


def available_memory() -> int:
    """Return the bytes that may be taken without swapping, and without being killed for it.

    What is available on the machine, or less where a control group that this process is in, such as
    that of a container or of a job of a cluster, has a limit that is nearer.
    """
    return min([psutil.virtual_memory().available, *_left_in_groups()])


def _left_in_groups() -> list[int]:
    """Return what is left of the limit of each group that has one, outer ones too."""
    try:
        lines = OF_PROCESS.read_text().splitlines()
    except OSError:
        return []
    left: list[int] = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version, root = (1, CONTROL_GROUPS / "memory") if controllers else (2, CONTROL_GROUPS)
        inside = Path(name.lstrip("/"))
        for group in [inside, *inside.parents]:  # in a container the names may be those outside it
            found = _left(root / group, version)
            left += [] if found is None else [found]
    return left


def _left(group: Path, version: int) -> int | None:
    """Return the bytes left in a group, None where it has no limit or is not to be seen."""
    limit_file, taken_file, returned = VERSIONS[version]
    try:
        limit = (group / limit_file).read_text().strip()
        taken = int((group / taken_file).read_text())
        numbers = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - taken + int(numbers.get(returned, 0)))
