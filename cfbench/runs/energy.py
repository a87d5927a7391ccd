"""The electricity that a fit takes, and the carbon dioxide of making it, as codecarbon estimates them.

Some of it is measured and some is guessed, which depends on the machine: the record says which. Nothing is sent
anywhere, and nothing is written beside the record. The settings of codecarbon that say where the machine is count, such
as the variable CODECARBON_COUNTRY_ISO_CODE.
"""

from __future__ import annotations

import logging
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cfbench.libraries import require
from cfbench.runs.record import Energy

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTRA = "cfbench-recsys[energy]"
SAMPLE_SECONDS = 5.0
"""How often the counters are read during a fit; its begin and its end are read too."""
MEASURED = {
    "intel_rapl": "processor, by its RAPL counters, with all that ran on it",
    "windows_emi": "processor, by the energy meter of Windows, with all that ran on it",
    "intel_power_gadget": "processor, by Intel Power Gadget, with all that ran on it",
}
"""How a processor can be measured, by the names of codecarbon."""
GUESSED = {"cpu_load": "processor, from its load by this process and its nominal power"}


def require_codecarbon() -> None:
    """Raise `UsageError` if codecarbon is not installed."""
    require("codecarbon", "--energy", EXTRA)


class EnergyMeter:
    """Measures what happens inside a `with` block on a device; `energy` is None if codecarbon could not."""

    energy: Energy | None = None

    def __init__(self, device: str) -> None:
        self._has_gpu = device.startswith(("cuda", "mps"))

    def __enter__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._tracker = _make_tracker()
            self._tracker.start()

    def __exit__(self, *_: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._tracker.stop()
        data = getattr(self._tracker, "final_emissions_data", None)
        if data is not None and data.energy_consumed > 0:
            self.energy = _describe(data, self._tracker._hardware, has_gpu=self._has_gpu)  # noqa: SLF001 (only it says how)


def _make_tracker() -> Any:
    """Return a tracker that needs no network and writes nothing, whatever the settings of codecarbon say."""
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # its warnings say what `guessed` says
    tracker = OfflineEmissionsTracker(
        output_methods=[], emissions_endpoint=None, cloud_provider=None, cloud_region=None, pue=1.0,
        electricitymaps_api_token=None, tracking_mode="process", measure_power_secs=SAMPLE_SECONDS,
        log_level="critical", allow_multiple_runs=True,
    )  # fmt: skip
    tracker._electricitymaps_api_token = None  # noqa: SLF001 (an older name of this setting would ask the network)
    return tracker


def _describe(data: Any, hardware: Iterable[Any], *, has_gpu: bool) -> Energy:
    """Return what codecarbon found. GPUs count only if the model computed on one."""
    parts = {"processor": data.cpu_energy, "memory": data.ram_energy} | ({"GPU": data.gpu_energy} if has_gpu else {})
    total = sum(parts.values())
    measured, guessed = _name_methods(hardware, has_gpu=has_gpu)
    place = data.country_name or "the world"
    return Energy(
        wh=1000 * total,
        co2_grams=1000 * data.emissions * total / data.energy_consumed,
        parts={name: 1000 * value for name, value in parts.items()},
        measured=measured,
        guessed=(*guessed, f"carbon dioxide, from the average electricity of {place}"),
        source=f"codecarbon {version('codecarbon')}",
    )


def _name_methods(hardware: Iterable[Any], *, has_gpu: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what was measured and what was guessed, in words."""
    measured, guessed = list[str](), list[str]()
    for item in hardware:
        kind, mode = type(item).__name__, getattr(item, "_mode", "")
        if kind == "CPU":
            known = mode in MEASURED
            (measured if known else guessed).append(
                MEASURED[mode] if known else GUESSED.get(mode, "processor, as a constant power")
            )
        elif kind == "RAM":
            guessed.append("memory, from its size")
        elif kind == "GPU" and has_gpu:
            measured.append("GPU, by the counters of its driver, with all that ran on it")
        elif kind in {"AppleSiliconChip", "Raspberry"}:
            measured.append(f"{_part_of(item)}, by the counters of the chip, with all that ran on it")
    return tuple(dict.fromkeys(measured)), tuple(dict.fromkeys(guessed))


def _part_of(item: Any) -> str:
    names = {"CPU": "processor", "GPU": "GPU", "RAM": "memory"}
    return names.get(getattr(item, "chip_part", ""), "chip")
