"""The machine a run uses: processor, memory, devices, threads and library versions."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

LIBRARIES = ("cfbench-recsys", "torch", "numpy", "polars")
"""Packages whose version every record names."""
LIBRARIES_IF_IMPORTED = {"scipy": "scipy", "surprise": "scikit-surprise", "implicit": "implicit", "myfm": "myfm"}
"""Packages whose version a record names if the run imported them: module → package."""


class Machine(BaseModel):
    """The machine and the library versions of a run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    system: str
    processor: str
    cores: int
    threads: int | None
    """CPU threads of torch; None if the run did not load torch."""
    python: str
    libraries: dict[str, str]
    accelerator: str | None = None
    """Name of the GPU; None on the CPU."""


def describe_machine(device: str = "cpu", needs: Iterable[str] = ()) -> Machine:
    """Describe the machine this process runs on.

    `device` is where the model computes. `needs` are the modules that a plugin imports beyond cfbench's own; their
    versions are included. Call it after the fit, because the fit may import more libraries.
    """
    torch = _loaded_torch()
    packages = [package for module, package in LIBRARIES_IF_IMPORTED.items() if module in sys.modules]
    packages += [package for module in needs for package in packages_distributions().get(module, ())]
    return Machine(
        system=platform.platform(), processor=_processor(), cores=os.cpu_count() or 1,
        threads=torch.get_num_threads() if torch else None, python=platform.python_version(),
        libraries=_versions([*LIBRARIES, *packages]),
        accelerator=torch.cuda.get_device_name(device) if torch and device.startswith("cuda") else None,
    )  # fmt: skip


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of each package that is installed."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def reset_peak_memory(device: str) -> None:
    """Start a new measurement of peak memory, so that each of several runs in one process has its own peak.

    Only Linux can reset the peak; on other systems the peak covers the whole life of the process.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_memory() -> int | None:
    """Return the largest resident size of the process in bytes; None if the system does not report it."""
    # Linux: ru_maxrss is at least the parent's peak and cannot be reset, so VmHWM is read instead.
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_device_memory(device: str) -> int | None:
    """Return the largest allocation on a CUDA device in bytes; None for other devices."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device)


def _loaded_torch() -> ModuleType | None:
    """Return torch if this process has loaded it."""
    return sys.modules.get("torch")
