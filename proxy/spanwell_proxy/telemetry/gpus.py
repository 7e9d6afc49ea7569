"""What this machine's NVIDIA GPUs are doing, by NVML, where the package `nvidia-ml-py` and a driver are there."""

import logging
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, NamedTuple

logger = logging.getLogger(__name__)

MODULE: Final = "pynvml"  # which nvidia-ml-py installs


class Gpu(NamedTuple):
    """`use` is the share of the last moment in which a kernel ran, 0 to 1; None where the device does not say."""

    number: int
    use: float | None
    used_bytes: int
    total_bytes: int


class Nvml:
    """The open library."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def read(self) -> list[Gpu]:
        """Every GPU that answers; one that fell off the bus is left out."""
        library = self._library
        try:
            count = library.nvmlDeviceGetCount()
        except library.NVMLError:
            return []
        return [gpu for index in range(count) if (gpu := self._read_one(index))]

    def _read_one(self, index: int) -> Gpu | None:
        library = self._library
        try:
            handle = library.nvmlDeviceGetHandleByIndex(index)
            memory = library.nvmlDeviceGetMemoryInfo(handle)
        except library.NVMLError:
            return None
        try:
            use = library.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except library.NVMLError:  # one that is split into instances (MIG) does not say
            use = None
        return Gpu(index, use, memory.used, memory.total)


@lru_cache(1)
def open_nvml() -> Nvml | None:
    """None where there is no such package, no driver or no right to ask. Once a process."""
    try:
        library = import_module(MODULE)
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        logger.info("no GPU metrics: %s", error)
        return None
    return Nvml(library)
