"""Limits on the workers of a pool: time, silence, the time to save after a request to stop, and waiting for a lock."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from harness.launch.local.workers import Running, write_if_possible, wrote_its_end
from harness.launch.tasks import TrialTask
from harness.store import TrialStatus
from harness.store.holders import holder_of
from harness.store.lease import BEAT_SECONDS
from harness.sweep.launch.config import LaunchConfig
from harness.text.log_files import trim
from harness.worker.processes import stat_fields
from harness.worker.watchdog import AwakeClock

GRACE_SECONDS = 20.0  # between the request to stop and SIGKILL
CHECK_SECONDS = 1.0  # between two looks at a lock or a heartbeat


class Limits:
    """Asks workers to stop and kills those that do not, on a clock that stands still while the pool is suspended."""

    def __init__(self, launch: LaunchConfig):
        self.launch = launch
        self.clock = AwakeClock()
        self._next_check = 0.0

    def enforce(self, running: Sequence[Running], stopping: bool) -> None:
        """Asks overdue workers to stop, or all when the pool stops; kills them after a grace period."""
        self.clock.tick()
        now, limit = self.clock.seconds(), self.launch.time_limit_minutes
        check, self._next_check = now > self._next_check, max(self._next_check, now)
        if check:
            self._next_check = now + CHECK_SECONDS
        for item in running:
            trim(item.task.folder.log_file)  # a worker that prints without end must not fill the disk
            item.began = item.began or now
            item.overdue = item.overdue or (limit is not None and now - item.began > 60 * limit)
            if item.stop_asked is not None:
                if now - item.stop_asked > GRACE_SECONDS:
                    item.process.kill()
            elif item.overdue or stopping:
                item.process.terminate()
                item.stop_asked = now
            elif check and wrote_its_end(item):
                item.stop_asked = now  # it should be gone in a moment, unless it waits for a process that it started
            elif check and self._hangs(item, now):
                item.hangs, item.stop_asked = True, now
                item.process.send_signal(signal.SIGABRT)  # the worker prints its stacks, whatever it is stuck in

    def _hangs(self, item: Running, now: float) -> bool:
        """Returns whether a worker has renewed no heartbeat for as long as a stall may last.

        Its own watchdog is quicker, but code that never releases Python's lock stops that too.
        """
        minutes = self.launch.stall_minutes
        if minutes is None:
            return False
        seen = item.beat[0] if item.beat else 0.0
        try:
            seen = item.task.folder.beat_file.stat().st_mtime
        except FileNotFoundError:
            pass
        except OSError:  # the file server is down: nothing is known
            item.beat = None
            return False
        if item.beat is None or item.beat[0] != seen or _is_suspended(item.process.pid):
            item.beat = (seen, now)
        return now - item.beat[1] > 60 * minutes + 4 * BEAT_SECONDS


def _is_suspended(pid: int) -> bool:
    try:
        return stat_fields(pid)[0] in "tT"
    except OSError:
        return False


class LockWaits:
    """Trials whose lock another process has; each waits until it is free, and not for ever."""

    def __init__(self, launch: LaunchConfig, clock: AwakeClock):
        self.launch = launch
        self.clock = clock
        self.tasks: list[TrialTask] = []
        self._since: dict[str, float] = {}
        self._next_check = 0.0

    def add(self, task: TrialTask) -> None:
        """Adds a trial that a worker could not have; its time counts from the first such attempt."""
        trial_id = task.trial.trial_id
        if trial_id not in self._since:
            self._since[trial_id] = self.clock.seconds()
            if (holder := holder_of(task.folder.lock_file)) is not None:
                print(f"{trial_id} waits for its lock, held by {holder}", file=sys.stderr, flush=True)
        self.tasks.append(task)
        self._next_check = self.clock.seconds() + CHECK_SECONDS

    def free(self) -> list[TrialTask]:
        """Returns the trials whose lock is free now; they wait no longer."""
        if not self.tasks or self.clock.seconds() < self._next_check:
            return []
        self._next_check = self.clock.seconds() + CHECK_SECONDS
        free = self._taken([task for task in self.tasks if not task.folder.is_held()])
        for task in free:
            self._since.pop(task.trial.trial_id, None)  # the next wait is another one
        return free

    def given_up(self) -> list[tuple[TrialTask, TrialStatus]]:
        """Returns the trials that waited too long, with their status; they wait no longer."""
        ended = [(task, status) for task in self.tasks if (status := self._status_at_limit(task)) is not None]
        self._taken([task for task, _ in ended])
        return ended

    def _taken(self, tasks: list[TrialTask]) -> list[TrialTask]:
        taken = {id(task) for task in tasks}
        self.tasks = [task for task in self.tasks if id(task) not in taken]
        return tasks

    def _status_at_limit(self, task: TrialTask) -> TrialStatus | None:
        """Returns the status of a trial that has waited too long, else None.

        A worker that lives may take `time_limit_minutes`. A process that merely keeps the lock gets `stall_minutes`.
        """
        waited = self.clock.seconds() - self._since[task.trial.trial_id]
        limits = [minutes for minutes in (self.launch.time_limit_minutes, self.launch.stall_minutes) if minutes]
        if not limits or waited <= 60 * min(limits):
            return None
        if not task.folder.is_held():  # its worker has just ended: `free` starts it
            return None
        status = task.folder.status()
        works = status.status == "running"
        if works and (self.launch.time_limit_minutes is None or waited <= 60 * self.launch.time_limit_minutes):
            return None
        holder = holder_of(task.folder.lock_file) or "another process"
        status.message = f"waited {waited / 60:.3g} minutes for its lock, held by {holder}"
        if not works:  # else that worker writes it
            status.status = "timeout"
            with suppress(OSError):
                write_if_possible(task.folder, status)
        return status
