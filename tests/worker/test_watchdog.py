"""The watchdog of a worker: silence ends it, work and suspension do not."""

from __future__ import annotations

import threading
import time

import pytest

from harness.worker import watchdog
from harness.worker.watchdog import AwakeClock, Watchdog


class Time:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 100.0
        monkeypatch.setattr(watchdog.time, "monotonic", lambda: self.now)


def test_silence_ends_the_worker_once_with_all_stacks(capfd: pytest.CaptureFixture[str]) -> None:
    stalled, messages = threading.Event(), []

    def on_stall(message: str) -> None:
        messages.append(message)
        stalled.set()

    guard = Watchdog(0.1, on_stall)
    guard.alive("step")
    with guard.watching():
        assert stalled.wait(10)
    assert len(messages) == 1
    assert "launch.stall_minutes" in messages[0]
    assert "last: step" in messages[0]
    shown = capfd.readouterr().err
    assert "test_silence_ends_the_worker_once" in shown, "the stack of the main thread"


def test_signs_of_life_keep_the_worker() -> None:
    messages: list[str] = []
    guard = Watchdog(0.5, messages.append)
    with guard.watching():
        for _ in range(10):
            time.sleep(0.1)
            guard.alive("clip")
    assert messages == []


def test_a_pause_of_the_process_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_now = Time(monkeypatch)
    clock = AwakeClock(longest_s=2.0)
    for _ in range(5):
        clock_now.now += 1.0
        clock.tick()
    assert clock.seconds() == 5.0
    clock_now.now += 3600.0  # stopped for an hour
    assert clock.seconds() == 7.0
    clock.tick()
    clock_now.now += 1.0
    assert clock.seconds() == 8.0


def test_the_slowest_unit_of_work_sets_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_now = Time(monkeypatch)
    guard = Watchdog(600.0, lambda message: None)
    guard.clock.longest_s = 1000.0
    for _ in range(5):
        clock_now.now += 30.0
        guard.alive("step")
        clock_now.now += 0.1
        guard.alive("clip")
    assert guard._patience_s() == pytest.approx(watchdog.PATIENCE * 30.1)
