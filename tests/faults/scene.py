"""A sweep in its own folder, its processes, and what must hold for its files after any disturbance."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.record import Record
from harness.store.sealed import seal
from tests.e2e import MINI, command, environment, harness, records, scores, statuses, write_sweep

LONGER = MINI.replace("num_steps: 8", "num_steps: 300").replace(
    "checkpoint_every_steps: 4", "checkpoint_every_steps: 20"
)
#: the same question after a search for each row: proposals that depend on the seed alone, each of them trained to its end
SEARCH = (
    LONGER
    + """
tune:
  num_trials: 3
  sampler: random
  pruner: none
  space: {train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}
"""
)
MARK = "FAULT_SCENE"  # in the environment of all processes of a scene, workers too


@dataclass(frozen=True)
class Live:
    """A process of a scene; `kind` is its verb, e.g. sweep or worker."""

    pid: int
    kind: str
    arguments: tuple[str, ...]


@dataclass
class Scene:
    """A folder with a sweep file and its run."""

    folder: Path
    text: str = LONGER
    arguments: tuple[str, ...] = ("--no-report",)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sweep = write_sweep(self.folder, self.text)
        self.run = self.folder / "runs/mini"

    def start(self) -> subprocess.Popen[bytes]:
        """The sweep command, in a process group of its own."""
        environ = environment() | {MARK: str(self.folder)}
        with open(self.folder / "output.txt", "ab") as output:
            self.process = subprocess.Popen(
                command("sweep", self.sweep, *self.arguments), cwd=self.folder, env=environ, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        return self.process

    def is_running(self) -> bool:
        """Returns whether the sweep command that was started last is alive."""
        return self.process is not None and self.process.poll() is None

    def live(self) -> list[Live]:
        """All processes of this scene that live, oldest first."""
        found = [
            _process(int(entry.name), str(self.folder)) for entry in Path("/proc").iterdir() if entry.name.isdigit()
        ]
        return sorted((item for item in found if item is not None), key=lambda item: item.pid)

    def output(self) -> str:
        """Returns the output of all sweep commands, in order."""
        return (self.folder / "output.txt").read_text(errors="replace")

    def retry_killed(self) -> None:
        """Retries killed trials, as a user does."""
        if any(status["status"] == "killed" for status in statuses(self.run).values()):
            done = harness("retry", self.run, "--status", "killed", cwd=self.folder)
            assert done.returncode == 0, done.stdout + done.stderr

    def finish(self, patience: int = 3) -> list[str]:
        """Repeats the command until it succeeds; returns what went wrong otherwise."""
        for _ in range(patience):
            self.retry_killed()
            if self.start().wait(timeout=600) == 0:
                return []
        return [f"not finished after {patience} sweep commands: {self.output()[-2000:]}"]

    def end(self) -> None:
        """Kills all processes of the scene."""
        for item in self.live():
            try:
                os.kill(item.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self.process is not None:
            self.process.wait()


def _process(pid: int, mark: str) -> Live | None:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return None
    if f"{MARK}={mark}" not in environ or "harness" not in arguments:
        return None
    return Live(pid, arguments[arguments.index("harness") + 1], tuple(arguments))


def trial_folders(run: Path) -> list[Path]:
    """Folders of all trials of a run, those of its search too."""
    return sorted([*run.glob("trials/*"), *run.glob("tuning/trials/*")])


def results(run: Path) -> dict[str, Any]:
    """Returns what a disturbed run must repeat to the bit: accuracies, last losses, weights, and optimizer state."""
    from safetensors.numpy import load_file

    found: dict[str, Any] = {}
    for part in (run, run / "tuning"):
        for trial_id, (accuracies, loss) in scores(part).items():
            tensors = load_file(part / "trials" / trial_id / "checkpoint.safetensors")
            found[trial_id] = accuracies, loss, {name: tensor.tobytes() for name, tensor in sorted(tensors.items())}
    return found


@dataclass
class Finished:
    """Remembers the results of trials, and reports every change of them."""

    run: Path
    trained: dict[Path, Any] = field(default_factory=dict)  # by the record's file
    done: dict[Path, tuple[int, bytes]] = field(default_factory=dict)

    def look(self) -> list[str]:
        """Returns the records that were lost, changed or became invalid since the last call; none ever may."""
        faults = [f"{file.parent.name}: its record is gone" for file in self.trained if not file.exists()]
        for trial in trial_folders(self.run):
            if (trial / "record.json").exists():
                faults += self._compare(trial.name, trial / "record.json")
        return faults

    def _compare(self, trial_id: str, file: Path) -> list[str]:
        written, content = file.stat().st_mtime_ns, file.read_bytes()
        try:
            record = Record.model_validate(seal.check(json.loads(content))[0])
        except ValueError as error:
            return [f"{trial_id}: invalid record: {error}"]
        found = record.model_dump(include={"scores", "training", "finished_at", "config"})
        if self.trained.setdefault(file, found) != found:
            return [f"{trial_id}: trained twice: {self.trained[file]} became {found}"]
        if file in self.done and self.done[file] != (written, content):
            return [f"{trial_id}: written again after it was done"]
        if record.costs.timings is not None and file.stat().st_mtime_ns == written:
            self.done[file] = written, content
        return []


def attempts(trial: Path) -> Iterator[dict[str, Any]]:
    """Lines of `attempts.jsonl`; all of them must be whole."""
    for line in (trial / "attempts.jsonl").read_text().splitlines():
        yield json.loads(line)


def faults_at_the_end(scene: Scene, undisturbed: dict[str, Any], of: Callable[[Path], Any] = results) -> list[str]:
    """Returns what is wrong with a finished run that was disturbed."""
    faults = [f"left behind: {item.kind} {item.pid}" for item in scene.live()]
    faults += [f"left behind: {path}" for path in scene.run.rglob(".*.tmp")]
    if of(scene.run) != undisturbed:
        faults.append("the results are not those of the undisturbed sweep")
    unmeasured = [key for key, record in records(scene.run).items() if record["costs"]["timings"] is None]
    faults += [f"{trial_id}: never measured" for trial_id in unmeasured]
    for trial in trial_folders(scene.run):
        faults += _repeated(trial)
    return faults


def _repeated(trial: Path) -> list[str]:
    """Returns the stages that workers completed more than once; a worker that finds its stage done does nothing."""
    ended: Counter[str] = Counter()
    stage = ""
    for line in attempts(trial):
        if "ended" not in line:
            stage = line["stage"]
        elif line["ended"] in ("queued", "done") and not line.get("by_another"):
            ended[stage] += 1
    return [f"{trial.name}: {stage} came to its end {number} times" for stage, number in ended.items() if number > 1]


def wait_for(condition: Callable[[], object], scene: Scene, patience_s: float = 60.0) -> bool:
    """Waits until the condition holds; False if the sweep command ended or time ran out before."""
    deadline = time.monotonic() + patience_s
    while not (found := bool(condition())) and scene.is_running() and time.monotonic() < deadline:
        time.sleep(0.02)
    return found
