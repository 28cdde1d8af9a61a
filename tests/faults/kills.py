"""SIGKILL at seeded moments to seeded targets, while an observer reads the status all the time.

A new kind of process to kill is a line in `TARGETS`; another launcher or controller is a `Setting`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.launch.overview import standings
from harness.record import STATUSES
from harness.store import Store, parts_of
from tests.e2e import harness
from tests.faults.scene import LONGER, Finished, Live, Scene, results, trial_folders, wait_for

Target = Callable[[list[Live], random.Random], list[Live]]


def _of_kind(kind: str) -> Target:
    def choose(live: list[Live], generator: random.Random) -> list[Live]:
        candidates = [item for item in live if item.kind == kind]
        return [generator.choice(candidates)] if candidates else []

    return choose


#: which processes of a scene to kill
TARGETS: dict[str, Target] = {
    "worker": _of_kind("worker"),
    "pool": _of_kind("sweep"),
    "server": _of_kind("server"),
    "group": lambda live, generator: live,
}


def _trains(run: Path, since: float) -> bool:
    """A trial without a record reached a checkpoint after that time: it is training."""
    return any(
        _written(trial / "checkpoint.safetensors") > since and not (trial / "record.json").exists()
        for trial in trial_folders(run)
    )


def _has_record(run: Path, since: float) -> bool:
    return any(_written(trial / "record.json") > since for trial in trial_folders(run))


def _works(run: Path, since: float) -> bool:
    return any(_written(trial / "attempts.jsonl") > since for trial in trial_folders(run))


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


#: what a kill waits for, and the longest delay after it in seconds
MOMENTS: list[tuple[Callable[[Path, float], bool], float]] = [
    (lambda run, since: True, 4.0), (_works, 0.5), (_works, 3.0), (_trains, 0.4), (_trains, 1.0), (_has_record, 0.5),
]  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A sweep to disturb: its text, its targets, and the results that must not change."""

    text: str = LONGER
    arguments: tuple[str, ...] = ("--no-report",)
    targets: dict[str, Target] = field(default_factory=lambda: dict(TARGETS))
    results: Callable[[Path], Any] = results


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: its target, and the phase of the workers then."""

    target: str
    phase: str
    num_processes: int


class Observer:
    """Reads the status of all trials repeatedly, and notes every failure and every contradiction."""

    def __init__(self, run: Path):
        self.run = run
        self.faults: list[str] = []
        self.num_checks = 0
        self._done: set[str] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._end.wait(0.1):
            if Store(self.run).plan_file.exists():
                try:
                    found = [item for part in parts_of(self.run) for item in standings(part, part.plan())]
                    shown = [(item.folder.trial_id, item.status) for item in found]
                except Exception as error:  # whatever it is, it is what a user would have seen
                    self.faults.append(f"reading the status failed: {error!r}")
                    continue
                self.judge(shown)

    def judge(self, shown: list[tuple[str, str]]) -> None:
        """Each trial has one status, a known one, and what is done stays done."""
        self.num_checks += 1
        if len(dict(shown)) != len(shown):
            self.faults.append(f"a trial is shown twice: {shown}")
        self.faults += [f"{trial_id}: no such status: {status}" for trial_id, status in shown if status not in STATUSES]
        done = {trial_id for trial_id, status in shown if status == "done"}
        self.faults += [f"{trial_id}: was done and is {dict(shown).get(trial_id)}" for trial_id in self._done - done]
        self._done |= done

    def ask(self, scene: Scene) -> None:
        """The same through the command line."""
        if not Store(self.run).plan_file.exists():
            return
        done = harness("status", scene.run, "--json", cwd=scene.folder)
        if done.returncode != 0 or done.stderr:
            self.faults.append(f"status ended with {done.returncode}: {done.stderr}")
            return
        shown = [json.loads(line) for line in done.stdout.splitlines()]
        for item in shown:
            if item["status"] not in STATUSES:
                self.faults.append(f"status says {item}")


def disturb(
    scene: Scene, setting: Setting, generator: random.Random, num_kills: int, observer: Observer
) -> Iterator[Kill | str]:
    """Runs the sweep and kills the chosen targets; yields each kill, and each fault as text.

    Ends after so many kills, or when the sweep is through.
    """
    finished, given = Finished(scene.run), 0
    while given < num_kills:
        if not scene.is_running():
            scene.retry_killed()
            scene.start()
        kill = _kill(scene, setting, generator)
        if kill is not None:
            given += 1
            yield kill
            observer.ask(scene)
        yield from finished.look()
        if scene.process is not None and scene.process.poll() == 0:
            return


def _kill(scene: Scene, setting: Setting, generator: random.Random) -> Kill | None:
    """Waits for a moment and kills; None if there was no process any more."""
    (moment, longest), since = generator.choice(MOMENTS), time.time()
    name = generator.choice(sorted(setting.targets))
    delay = generator.uniform(0, longest)
    wait_for(lambda: moment(scene.run, since), scene, patience_s=20.0)
    time.sleep(delay)
    victims = setting.targets[name](scene.live(), generator)
    phase = _phase(scene.live())
    num_killed = sum(_end(item.pid) for item in victims)
    if any(item.kind == "sweep" for item in victims) and scene.process is not None:
        scene.process.wait()
    return Kill(name, phase, num_killed) if num_killed else None


def _end(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _phase(live: list[Live]) -> str:
    """Returns the phase of the latest worker, by its status file."""
    workers = [item for item in live if item.kind == "worker"]
    if not workers:
        return "no worker"
    arguments = workers[-1].arguments
    folder = Path(arguments[arguments.index("worker") + 1])
    stage = arguments[arguments.index("--stage") + 1]
    try:
        status = json.loads((_cwd(workers[-1].pid) / folder / "status.json").read_text())
    except (OSError, ValueError):
        return f"{stage}: starting"
    if status["pid"] != workers[-1].pid:
        return f"{stage}: starting"
    return "measure" if stage == "measure" else "train: steps" if status["step"] else "train: building"


def _cwd(pid: int) -> Path:
    return Path(os.readlink(f"/proc/{pid}/cwd"))
