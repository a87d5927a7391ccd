"""The memory that this process can still use, and the check before a computation that needs much of it.

A container, a batch system or `ulimit` often allows less than the machine has. What is available is therefore the
smallest of: the free memory of the machine, what the control groups of Linux leave, and what the limits of the process
leave. Files that the system keeps in memory count as free, because it drops them when memory is needed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cfbench.errors import MemoryLimitError

if TYPE_CHECKING:
    from collections.abc import Iterator


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "status_alloc_failed", "bad_alloc")
"""Parts of the messages by which torch, on the CPU and on GPUs, and CUDA's libraries say that memory is missing."""


@dataclass(frozen=True)
class _GroupFiles:
    """Where a version of Linux's control groups keeps a group's numbers."""

    mounts: tuple[str, ...]
    limits: tuple[str, ...]
    usage: str
    reclaimable: tuple[str, ...]
    """The entries of `memory.stat` that the system gives back when memory is needed."""


_V1 = _GroupFiles(
    ("sys/fs/cgroup/memory",), ("memory.limit_in_bytes",), "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)  # fmt: skip
_V2 = _GroupFiles(
    ("sys/fs/cgroup", "sys/fs/cgroup/unified"), ("memory.max", "memory.high"), "memory.current",
    ("inactive_file", "active_file", "slab_reclaimable"),
)  # fmt: skip


def require_memory(needed: int, what: str, advice: str) -> None:
    """Raise `MemoryLimitError` if `what` needs more bytes than this process can still use; `advice` says what to do."""
    available = available_memory()
    if available is not None and needed > available:
        raise MemoryLimitError(
            f"{what} needs about {_gigabytes(needed)} of memory, and {_gigabytes(available)} are available here; "
            f"{advice}"
        )


def is_out_of_memory(fault: BaseException) -> bool:
    """Return whether an exception says that memory is missing: torch and CUDA's libraries have types of their own."""
    text = str(fault).lower()
    return isinstance(fault, MemoryError) or (
        isinstance(fault, RuntimeError) and any(part in text for part in _OUT_OF_MEMORY)
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


def available_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes this process can still use; None if the system does not say.

    `root` is the folder that holds `proc` and `sys`. Without `proc` it is the memory of the machine.
    """
    sizes = [*_free_on_machine(root), *_left_in_groups(root), *_left_by_limits(root)]
    return max(0, min(sizes)) if sizes else None


def _free_on_machine(root: Path) -> Iterator[int]:
    free = _numbers(root / "proc/meminfo").get("MemAvailable")
    if free is not None:
        yield free * 1024
    else:
        with suppress(ValueError, OSError, AttributeError):  # Windows has no sysconf
            yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each limited control group leaves, of those that this process is in and of the groups around them."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        files = _V1 if controllers else _V2
        group = PurePosixPath(path.lstrip("/"))
        for mount in files.mounts:
            for inner in (group, *group.parents):
                yield from _left_in_group(root / mount / inner, files)


def _left_in_group(folder: Path, files: _GroupFiles) -> Iterator[int]:
    limits = [int(text) for text in (_text(folder / name).strip() for name in files.limits) if text.isdecimal()]
    usage = _text(folder / files.usage).strip()
    if limits and usage.isdecimal():
        stat = _numbers(folder / "memory.stat")
        yield min(limits) - int(usage) + sum(stat.get(name, 0) for name in files.reclaimable)


def _left_by_limits(root: Path) -> Iterator[int]:
    """What `ulimit -v` and `ulimit -d` leave."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = _numbers(root / "proc/self/status")
    for kind, entry in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - used.get(entry, 0) * 1024


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(encoding="utf-8")
    return ""


def _numbers(file: Path) -> dict[str, int]:
    """The numbers in lines such as `MemAvailable:  1024 kB` or `active_file 4096`, by their names."""
    lines = (line.split() for line in _text(file).splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
