"""A sweep in a place of its own, its processes, and what must hold of its files whatever was done to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.record import Record
from tests.e2e import MINI, command, environment, harness, records, scores, statuses, write_sweep

LONGER = MINI.replace("num_steps: 8", "num_steps: 300").replace(
    "checkpoint_every_steps: 4", "checkpoint_every_steps: 20"
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
        """Whether the sweep command that was started last lives."""
        return self.process is not None and self.process.poll() is None

    def live(self) -> list[Live]:
        """All processes of this scene that live, oldest first."""
        found = [
            _process(int(entry.name), str(self.folder)) for entry in Path("/proc").iterdir() if entry.name.isdigit()
        ]
        return sorted((item for item in found if item is not None), key=lambda item: item.pid)

    def output(self) -> str:
        """What all sweep commands printed, in order."""
        return (self.folder / "output.txt").read_text(errors="replace")

    def retry_killed(self) -> None:
        """As a user does who reads that the kernel killed a trial."""
        if any(status["status"] == "killed" for status in statuses(self.run).values()):
            done = harness("retry", self.run, "--status", "killed", cwd=self.folder)
            assert done.returncode == 0, done.stdout + done.stderr

    def finish(self, patience: int = 3) -> list[str]:
        """Repeats the command until it says that all is well; what went wrong otherwise."""
        for _ in range(patience):
            self.retry_killed()
            if self.start().wait(timeout=600) == 0:
                return []
        return [f"not finished after {patience} sweep commands: {self.output()[-2000:]}"]

    def end(self) -> None:
        """No process of it is left."""
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


def results(run: Path) -> dict[str, Any]:
    """What a disturbed run must repeat to the bit: accuracies, last losses, weights, and the optimizer's state."""
    from safetensors.numpy import load_file

    found: dict[str, Any] = {}
    for trial_id, (accuracies, loss) in scores(run).items():
        tensors = load_file(run / "trials" / trial_id / "checkpoint.safetensors")
        found[trial_id] = accuracies, loss, {name: tensor.tobytes() for name, tensor in sorted(tensors.items())}
    return found


@dataclass
class Finished:
    """Remembers what trials had found as soon as they had, and names every change of it."""

    run: Path
    trained: dict[str, Any] = field(default_factory=dict)
    done: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def look(self) -> list[str]:
        """What was lost, changed or is invalid since the last look; no record may ever be."""
        faults = [f"{trial_id}: its record is gone" for trial_id in self.trained if not self._file(trial_id).exists()]
        for file in self.run.glob("trials/*/record.json"):
            faults += self._compare(file.parent.name, file)
        return faults

    def _file(self, trial_id: str) -> Path:
        return self.run / "trials" / trial_id / "record.json"

    def _compare(self, trial_id: str, file: Path) -> list[str]:
        written, content = file.stat().st_mtime_ns, file.read_bytes()
        try:
            record = Record.model_validate_json(content)
        except ValueError as error:
            return [f"{trial_id}: invalid record: {error}"]
        found = record.model_dump(include={"scores", "training", "finished_at", "config"})
        if self.trained.setdefault(trial_id, found) != found:
            return [f"{trial_id}: trained twice: {self.trained[trial_id]} became {found}"]
        if trial_id in self.done and self.done[trial_id] != (written, content):
            return [f"{trial_id}: written again after it was done"]
        if record.costs.timings is not None and file.stat().st_mtime_ns == written:
            self.done[trial_id] = written, content
        return []


def attempts(trial: Path) -> Iterator[dict[str, Any]]:
    """Lines of `attempts.jsonl`; all of them must be whole."""
    for line in (trial / "attempts.jsonl").read_text().splitlines():
        yield json.loads(line)


def faults_at_the_end(scene: Scene, undisturbed: dict[str, Any], of: Callable[[Path], Any] = results) -> list[str]:
    """What is wrong with a run that was disturbed and is finished."""
    faults = [f"left behind: {item.kind} {item.pid}" for item in scene.live()]
    faults += [f"left behind: {path}" for path in scene.run.rglob(".*.tmp")]
    if of(scene.run) != undisturbed:
        faults.append("the results are not those of the undisturbed sweep")
    for trial in scene.run.glob("trials/*"):
        if records(scene.run)[trial.name]["costs"]["timings"] is None:
            faults.append(f"{trial.name}: never measured")
        faults += _repeated(trial)
    return faults


def _repeated(trial: Path) -> list[str]:
    """Stages that began again after one of their workers had brought them to an end."""
    ended: set[str] = set()
    stage, faults = "", []
    for line in attempts(trial):
        if "ended" in line:
            ended |= {stage} if line["ended"] in ("queued", "done") else set()
            continue
        stage = line["stage"]
        if stage in ended:
            faults.append(f"{trial.name}: {stage} began again after it had ended")
    return faults


def wait_for(condition: Callable[[], object], scene: Scene, patience_s: float = 60.0) -> bool:
    """Waits until the condition holds; False if the sweep command ended or time ran out before."""
    deadline = time.monotonic() + patience_s
    while not (found := bool(condition())) and scene.is_running() and time.monotonic() < deadline:
        time.sleep(0.02)
    return found
