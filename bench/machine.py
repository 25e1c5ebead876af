"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    memory = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        kib = int(meminfo.read_text().split(None, 2)[1])
        memory = f"{kib / 1024 / 1024:.0f} GiB"
    return {
        "processor": f"{model} ({os.cpu_count()} cores)",
        "memory": memory,
        "system": platform.system(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "revision": f"revision {revision()}",
    }


def revision() -> str:
    """The measured commit; `-dirty` when the sources differ from it."""
    commit = _git("describe", "--always") or "unknown"
    return f"{commit}-dirty" if _git("status", "--porcelain", "--", "src") else commit


def _git(*arguments: str) -> str:
    root = Path(__file__).parents[1]
    finished = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return finished.stdout.strip()
