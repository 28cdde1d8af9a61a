"""Preflight, energy, peak rates and failures, against fake machines and messages and against this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from harness.measure.failure import requested_bytes, verdict
from harness.measure.machine import preflight as pf
from harness.measure.machine.gpu import gpu_faults, gpu_state
from harness.measure.time.energy import RaplMeter, find_meter, joules_per_clip
from harness.measure.time.machine_peak import MachinePeak, measure_peak, mfu


def test_a_busy_neighbour_is_reported_and_this_process_is_not() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        found = pf.busy_processes(0.3)
    finally:
        busy.kill()
        busy.wait()
    assert any(f"({busy.pid})" in name for name in found)
    assert not any(f"({pid})" in name for name in found for pid in pf._own_ancestry())


def test_more_threads_than_cores_make_a_timing_dirty() -> None:
    state = pf.preflight(10_000, watch_seconds=0.05)
    assert any("10000 threads asked for" in fault for fault in state["dirty"])


@pytest.mark.parametrize(
    ("files", "cores", "throttled"),
    [
        ({"cpu.max": "150000 100000", "cpu.stat": "usage_usec 5\nnr_throttled 7"}, 1.5, 7),
        ({"cpu.max": "max 100000"}, None, None),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0, None),
        ({}, None, None),
    ],
)
def test_quota_and_throttling_of_both_kinds_of_control_group(
    files: dict[str, str], cores: float | None, throttled: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(pf, "CGROUP", tmp_path)
    assert pf.cpu_quota_cores() == cores
    assert pf.throttled_periods() == throttled


def test_rapl_adds_packages_and_corrects_an_overflow(tmp_path: Path) -> None:
    for index, start in enumerate((9_000_000, 100)):
        domain = tmp_path / f"intel-rapl:{index}"
        domain.mkdir()
        (domain / "energy_uj").write_text(str(start))
        (domain / "max_energy_range_uj").write_text("10000000")
    (tmp_path / "intel-rapl:0:0").mkdir()  # a core domain: part of the package, not added
    meter = RaplMeter(tmp_path)
    (tmp_path / "intel-rapl:0/energy_uj").write_text("500000")  # overflowed: 1.5 J
    (tmp_path / "intel-rapl:1/energy_uj").write_text("2000100")
    assert meter.joules() == pytest.approx(3.5)


def test_joules_per_clip_are_the_meter_over_the_clips() -> None:
    class Meter:
        name = "made up"

        def joules(self) -> float:
            return 20 * time.perf_counter()  # 20 W

    found, source = joules_per_clip(lambda: time.sleep(0.01), 2, "cpu", meter=Meter(), window_seconds=0.3)
    assert source == "made up"
    assert found == pytest.approx(20 * 0.01 / 2, rel=0.5)


def test_without_a_meter_energy_is_absent() -> None:
    if find_meter("cpu") is not None:
        pytest.skip("this machine has a meter")
    assert joules_per_clip(lambda: None, 1, "cpu") == (None, None)


def test_no_product_exceeds_the_peak_and_mfu_is_a_share_of_it() -> None:
    peak = measure_peak("fp32", "cpu", seconds=0.05)
    assert 1e8 < peak.flops_per_s < 1e14
    assert 1e8 < peak.bytes_per_s < 1e13
    x = torch.rand(256, 256)
    start = time.perf_counter()
    x @ x
    spent_ms = 1e3 * (time.perf_counter() - start)
    assert 0 < mfu(2 * 256**3, spent_ms, peak) < 2
    exact = MachinePeak(dtype="fp32", device="cpu", num_threads=1, flops_per_s=1e9, bytes_per_s=1e8, samples={})
    assert mfu(5e8, 1000, exact) == pytest.approx(0.5)
    assert exact.ridge_flops_per_byte == 10


def test_a_failed_allocation_is_oom_with_its_size() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    status, message = verdict(caught.value)
    assert status == "oom"
    assert requested_bytes(message) == 2**50
    assert requested_bytes("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0") == 3 * 2**29
    assert requested_bytes("something else") is None
    assert verdict(MemoryError())[0] == "oom"
    assert verdict(ValueError("x")) == ("failed", "ValueError: x")


class MadeUpGpu:
    """Fake NVML: its function names and units, with our values."""

    NVML_CLOCK_SM = NVML_TEMPERATURE_GPU = 0

    def __init__(self, reasons: int, pids: list[int]):
        self.reasons, self.pids = reasons, pids

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int:
        return self.reasons

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid) for pid in self.pids]

    def __getattr__(self, name: str) -> object:
        return lambda *arguments: 250_000 if "Power" in name else 1_500


@pytest.mark.parametrize(
    ("reasons", "pids", "dirty"),
    [
        (0x1 | 0x2, [os.getpid()], []),
        (0x4 | 0x40, [os.getpid()], ["the GPU is slowed down by the power limit, heat (hardware)"]),
        (0, [os.getpid(), 7], ["1 other processes compute on the GPU"]),
        (0, [1, 2, 3], ["2 other processes compute on the GPU"]),
        (0, [], []),
    ],
    ids=["idle", "slowed", "neighbour", "container", "unlisted"],
)
def test_slowdowns_and_processes_of_a_gpu_become_faults(reasons: int, pids: list[int], dirty: list[str]) -> None:
    state = gpu_state(MadeUpGpu(reasons, pids), None)
    assert gpu_faults(state) == dirty
    assert state["gpu_power_w"] == 250
