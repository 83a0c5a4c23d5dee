"""How much memory a device has in all, and how much of it a training may count on.

In all, not what is free just now: a resumed run on the same machine shall decide the same.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

# The rest is for what is not counted: other programs and the system on a CPU, CUDA's context and
# the holes that its allocator leaves on a GPU.
SHARES = {"cpu": 0.5, "cuda": 0.85, "xpu": 0.85, "mps": 0.5}


def total_memory(device: str) -> int:
    """Bytes of a device: cpu, cuda, xpu; mps shares the computer's."""
    if device == "cuda":
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    if device == "xpu":
        return torch.xpu.get_device_properties(torch.xpu.current_device()).total_memory
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(physical, *cgroup_limits()) if device == "cpu" else physical


def usable_memory(device: str, processes: int = 1) -> int:
    """Bytes that the training may count on in each of the processes of this machine."""
    sharing = 1 if device in ("cuda", "xpu") else processes  # those have a device each
    return int(total_memory(device) * SHARES[device]) // sharing


def cgroup_limits(
    membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[int]:
    """Bytes that Linux allows this process's groups, those above included: versions 1 and 2.

    https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top, name = (root, "memory.max") if not controllers else (root / "memory", V1_LIMIT)
        folder = top / group.lstrip("/")
        for path in (folder, *folder.parents):
            if path.is_relative_to(top) and (path / name).is_file():
                limit = (path / name).read_text(encoding="utf-8").strip()
                if limit.isdigit():  # else "max"
                    yield int(limit)


V1_LIMIT = "memory.limit_in_bytes"
