"""A module of nvidia-ml-py's functions as they are: names, arguments, what they return and what they raise."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from spanwell_proxy.telemetry.gpus import Gpu, open_nvml
from spanwell_proxy.telemetry.metrics import render

GIB = 2**30


class NVMLError(Exception):
    """The base of all that the module raises."""


class Machine:
    """Three GPUs: one at work, one split into instances, one that fell off the bus."""

    def __init__(self) -> None:
        self.driver = True
        self.opened = 0

    def open(self) -> None:
        if not self.driver:
            raise NVMLError("NVML Shared Library Not Found")
        self.opened += 1

    def count(self) -> int:
        if not self.opened:
            raise NVMLError("Uninitialized")
        return 3

    def find(self, index: int) -> Any:
        if index == 2:
            raise NVMLError("GPU is lost")
        return SimpleNamespace(index=index)

    def memory(self, _: Any) -> Any:
        return SimpleNamespace(total=80 * GIB, free=10 * GIB, used=70 * GIB)

    def use(self, handle: Any) -> Any:
        if handle.index == 1:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=93, memory=41)  # percent


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine, module = Machine(), ModuleType("pynvml")
    members = {
        "NVMLError": NVMLError,
        "nvmlInit": machine.open,
        "nvmlDeviceGetCount": machine.count,
        "nvmlDeviceGetHandleByIndex": machine.find,
        "nvmlDeviceGetMemoryInfo": machine.memory,
        "nvmlDeviceGetUtilizationRates": machine.use,
    }
    for name, member in members.items():
        setattr(module, name, member)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    open_nvml.cache_clear()
    yield machine
    open_nvml.cache_clear()


def test_every_gpu_that_answers_is_read(machine: Machine) -> None:
    nvml = open_nvml()

    assert nvml
    assert nvml.read() == [Gpu(0, 0.93, 70 * GIB, 80 * GIB), Gpu(1, None, 70 * GIB, 80 * GIB)]


def test_gpus_are_on_the_page(machine: Machine) -> None:
    page = render().decode()

    assert 'llm_gpu_utilization{gpu="0"} 0.93' in page
    assert 'llm_gpu_utilization{gpu="1"}' not in page
    assert 'llm_gpu_memory_bytes{gpu="1",kind="used"} 7.516192768e+10' in page
    assert machine.opened == 1


def test_a_library_that_fails_later_shows_no_gpus(machine: Machine) -> None:
    nvml = open_nvml()
    machine.opened = 0

    assert nvml
    assert nvml.read() == []


def test_a_machine_without_a_driver_has_no_gpu_metrics(machine: Machine) -> None:
    machine.driver = False

    assert open_nvml() is None
    assert b"llm_gpu" not in render()


def test_nothing_is_asked_of_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    open_nvml.cache_clear()

    assert open_nvml() is None
