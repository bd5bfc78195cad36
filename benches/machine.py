"""What a bench ran on, to be printed under its table."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["machine"]


def machine() -> dict[str, str | int]:
    """Return processor, cores, load of the last minute, kernel and Python."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: the architecture alone
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processor": name,
        "cores": os.cpu_count() or 0,
        "load_before": load,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
