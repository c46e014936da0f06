"""The processor that a benchmark has run on."""

import platform
from pathlib import Path


def processor_name() -> str:
    """Name the processor as Linux does, elsewhere as Python does."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
