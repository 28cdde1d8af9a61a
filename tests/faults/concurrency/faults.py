"""The faults by kind: each does one thing to a sweep that runs, and yields what is wrong with how it ended.

A new kind is a function in `KINDS`. All its choices come from its generator, so a number gives the same faults again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e import command, environment
from tests.faults.concurrency.traced import Traced
from tests.faults.scene import MARK, Live, trial_folders, wait_for

COMMAND_SECONDS = 120.0  # a command that shows or changes something takes a few; busy machines take more
#: exit codes of a command that `interrupt` stopped, also before it could handle the signal
INTERRUPTED = (130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
#: commands that end by themselves, whatever runs meanwhile
COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "clean": (("--stale", "--yes"), ("--checkpoints", "--yes"), ("--stale", "--checkpoints", "--trash", "--yes")),
    "retry": ((), ("--status", "killed,lost,preempted"), ("--from-scratch", "--yes")),
    "cancel": ((), ("--wait", "1s"), ("--only", "seed=0")),
    "report": ((),),
    "status": ((), ("--json",), ("--all",)),
}


@dataclass
class Disturbed:
    """A scene that is disturbed; `running` are the other commands that work on its run, with their output."""

    scene: Traced
    running: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)
    num_outputs: int = 0

    def start(self, verb: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Starts another command in the folder of the scene."""
        self.num_outputs += 1
        path = self.scene.folder / f"command-{self.num_outputs}.txt"
        with open(path, "wb") as output:
            process = subprocess.Popen(
                command(verb, *arguments), cwd=self.scene.folder, env=environment() | {MARK: str(self.scene.folder)},
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self.running.append((process, path))
        return process

    def command(self, verb: str, *arguments: str | Path) -> Iterator[str]:
        """Runs a command to its end; yields what is wrong with that."""
        yield from ended(*self.wait(self.start(verb, *arguments), COMMAND_SECONDS), verb)

    def wait(self, process: subprocess.Popen[bytes], seconds: float) -> tuple[int | None, str]:
        """Returns (exit code or None after so many seconds, output) of a command."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        [path] = [path for other, path in self.running if other is process]
        self.running = [item for item in self.running if item[0] is not process]
        if process.returncode is None:
            process.kill()
            process.wait()
            return None, path.read_text(errors="replace")
        return process.returncode, path.read_text(errors="replace")


def ended(code: int | None, output: str, what: str) -> Iterator[str]:
    """Yields what is wrong with the end of a command: it hung, died, or showed its inside."""
    if code is None:
        yield f"hang: {what} did not end: {output[-500:]}"
    elif code not in (0, 1, 2, *INTERRUPTED):
        yield f"death: {what} ended with {code}: {output[-500:]}"
    if "Traceback (most recent call last)" in output:
        yield f"traceback: {what}: {output[-1500:]}"


Fault = Callable[[Disturbed, random.Random], Iterator[str]]


def edit(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """A new revision of the variant or its helper, or a comment in the sweep file; sometimes written in two parts."""
    scene = disturbed.scene
    file = generator.choice([scene.variant, scene.helper, scene.variant, scene.helper, scene.sweep])
    delay, is_slow = generator.uniform(0.05, 0.5), generator.random() < 0.3
    if file == scene.sweep:
        scene.text += "# a comment\n"
    else:
        scene.revisions[file == scene.helper] += 1
    if is_slow:
        content = scene.sources()[file]
        file.write_text(content[: len(content) // 2], encoding="utf-8")
        time.sleep(delay)
    scene.restore()
    yield from _someone_looks(disturbed, generator)


def rename(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """A file of the user has another name for a while."""
    file = generator.choice(_users_files(disturbed.scene))
    file.rename(file.with_name(f"renamed_{file.name}"))
    yield from _someone_looks(disturbed, generator)
    file.with_name(f"renamed_{file.name}").rename(file)


def delete(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """A file of the user is gone for a while; the whole folder of variants, sometimes."""
    scene = disturbed.scene
    for file in generator.choice([[scene.variant], [scene.helper], [scene.sweep], [scene.variant, scene.helper]]):
        file.unlink()
    if generator.random() < 0.3 and not any(scene.variant.parent.glob("*.py")):
        for file in sorted(scene.variant.parent.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
    yield from _someone_looks(disturbed, generator)
    scene.variant.parent.mkdir(exist_ok=True)
    scene.restore()


#: files of a run that can be written again; records are results, and who deletes one has lost it
REPLACEABLE = ("status.json", "log.txt", "attempts.jsonl", "config.yaml", "checkpoint.safetensors", ".beat")


def lose(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """A file of the run is deleted for good: one of a trial's, the plan, the report."""
    run, name = disturbed.scene.run, generator.choice([*REPLACEABLE, *REPLACEABLE, "plan.json", "report"])
    place = generator.random()
    trials = trial_folders(run)
    if name in REPLACEABLE and trials:
        (trials[int(place * len(trials))] / name).unlink(missing_ok=True)
    elif name == "report":
        for file in (run / "report").glob("*.*"):
            file.unlink()
    else:
        (run / "plan.json").unlink(missing_ok=True)
    yield from _someone_looks(disturbed, generator)


def fork(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """The next step that a worker trains forks a child that wants to live for ten minutes."""
    how = generator.choice(["fork", "setsid", "c_fork", "daemon"])
    (disturbed.scene.folder / "fork").write_text(how)
    wait_for(lambda: not (disturbed.scene.folder / "fork").exists(), disturbed.scene, patience_s=2.0)
    yield from ()


def stop(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """A process of the sweep, or all of them, stands still for a while."""
    moment, which, everyone = generator.uniform(0.1, 1.5), generator.random(), generator.random() < 0.25
    live = [item for item in disturbed.scene.live() if item.kind in ("sweep", "server", "worker", "retry")]
    chosen = live if everyone else live[int(which * len(live)) :][:1]
    _signal(chosen, signal.SIGSTOP)
    try:
        time.sleep(moment)
        if generator.random() < 0.5:
            yield from disturbed.command("status", disturbed.scene.run)
    finally:
        _signal(chosen, signal.SIGCONT)


def interrupt(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """The sweep is asked to stop, as by Ctrl-C, `kill` or a lost connection."""
    number = generator.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    _signal([item for item in disturbed.scene.live() if item.kind in ("sweep", "retry")], number)
    yield from ()


def second_sweep(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """One to three more sweeps of the same run, or one of its retries that start at once."""
    if generator.random() < 0.25:
        disturbed.start("retry", disturbed.scene.run, "--start")
    else:
        for _ in range(generator.choice([1, 1, 2, 3])):
            disturbed.start("sweep", disturbed.scene.sweep, *disturbed.scene.arguments)
    yield from ()


def _command(verb: str) -> Fault:
    def fault(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
        yield from disturbed.command(verb, disturbed.scene.run, *generator.choice(COMMANDS[verb]))

    return fault


KINDS: dict[str, Fault] = {
    "edit": edit, "rename": rename, "delete": delete, "lose": lose, "fork": fork, "stop": stop,
    "interrupt": interrupt, "second sweep": second_sweep, **{verb: _command(verb) for verb in COMMANDS},
}  # fmt: skip


def _users_files(scene: Traced) -> list[Path]:
    return [scene.variant, scene.helper, scene.sweep]


def _someone_looks(disturbed: Disturbed, generator: random.Random) -> Iterator[str]:
    """While a file is missing or new: nothing happens for a moment, or a command reads it."""
    delay, verb = generator.uniform(0.05, 0.8), generator.choice(["", "", "sweep", "status", "report", "retry"])
    if verb == "sweep":
        disturbed.start("sweep", disturbed.scene.sweep, *disturbed.scene.arguments)
    elif verb:
        yield from disturbed.command(verb, disturbed.scene.run)
    time.sleep(delay)


def _signal(processes: list[Live], number: signal.Signals) -> None:
    for item in processes:
        with suppress(ProcessLookupError):
            os.kill(item.pid, number)
