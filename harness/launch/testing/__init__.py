"""`LauncherSuite`: tests that every launcher has to pass. Needs pytest; workers have to run on this machine.

Subclass it in a test file, and override what differs:

    class TestSsh(LauncherSuite):
        launch = {"where": "ssh", "options": {"ssh": {"hosts": ["a", "b"]}}}

        @pytest.fixture
        def launcher_environment(self, tmp_path: Path) -> dict[str, str]:
            return {**os.environ, "PATH": f"{fake_ssh(tmp_path)}:{os.environ['PATH']}"}
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.errors import UserError
from harness.launch import launchers
from harness.launch.job import open_task
from harness.launch.overview import standings
from harness.launch.tasks import state_of
from harness.launch.testing.place import Place, local_results, paused, results_of
from harness.record import OPEN_STATUSES
from harness.store import TrialFolder

#: two trials that train long enough to be interrupted; JSON is YAML
SWEEP: dict[str, Any] = {
    "question": "Does this launcher run trials to their end, whatever happens?",
    "data": {"name": "moving_shapes", "task": "motion", "num_train": 512, "num_val": 20, "num_test": 40},
    "model": {
        "embed_dim": 16, "depth": 1, "num_heads": 2, "num_frames": 4, "crop_size": 12, "temporal_position": "none",
    },
    "variant": {"name": "mixing", "temporal_window": 1},
    "readout": {"name": "mean_frames"},
    "train": {"num_steps": 600, "batch_size": 8, "device": "cpu"},
    "measure": {"batch_size": 2, "min_samples": 3, "max_seconds": 0.05},
    "vary": [{"grid": {"variant.temporal_window": [0, 1]}}],
    "seeds": 1,
}  # fmt: skip
LAUNCH: dict[str, Any] = {"checkpoint_every_steps": 50, "time": "00:05:00", "signal_delay_s": 60}


class LauncherSuite:
    """Every launcher runs trials to the same results, through interruptions, and reports truly on them."""

    launch: ClassVar[dict[str, Any]] = {"where": "local"}
    """Fields of the `launch` block, `where` included."""
    wrong_options: ClassVar[dict[str, Any]] = {}
    """Fields of `launch.options.NAME` of which each is wrong; empty for a launcher without options."""
    timeout_s: ClassVar[float] = 180
    """For a trial of seconds to wait, train and end."""

    @pytest.fixture
    def launcher_environment(self) -> dict[str, str]:
        """Returns the environment of commands; override it to put programs on the PATH."""
        return dict(os.environ)

    @pytest.fixture
    def place(
        self, tmp_path: Path, launcher_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Place]:
        """Returns a folder with the sweep file; whatever is still at work at the end of a test is cancelled."""
        for name, value in launcher_environment.items():
            monkeypatch.setenv(name, value)
        made = Place(tmp_path, self.text(), launcher_environment, self.timeout_s)
        yield made
        if self.detaches and made.store.plan_file.exists():
            made.harness("cancel", made.store.path)

    @property
    def detaches(self) -> bool:
        """Returns whether the launcher returns while trials run."""
        return launchers.launcher(self.launch["where"]).detaches

    def text(self) -> str:
        """Returns the sweep file."""
        return json.dumps({**SWEEP, "launch": LAUNCH | self.launch})

    def test_wrong_settings_are_refused_before_anything_is_written(self, place: Place) -> None:
        where = self.launch["where"]
        done = place.harness("sweep", place.file, "--launch", f"{where}x", "--set", "launch.options.no_such={}")
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"Did you mean {where}?" in done.stderr
        if self.wrong_options:
            done = place.harness(
                "sweep", place.file, "--set", f"launch.options.{where}={json.dumps(self.wrong_options)}"
            )
            assert done.returncode == 2, done.stdout + done.stderr
            assert all(f"launch.options.{where}.{name}: " in done.stderr for name in self.wrong_options)
        assert not place.store.path.exists()

    def test_cancelled_and_killed_trials_continue_to_the_results_of_the_local_launcher(self, place: Place) -> None:
        command = self._start(place)
        place.wait_for(lambda found: len(found) == 2 and all(_trains(folder) for folder in found))
        folders = place.store.trials()
        assert launchers.owners(place.store, folders).taken == {folder.trial_id for folder in folders}
        with paused([folder.written_status().pid for folder in folders]):
            self._check_running(place, folders)
        self._interrupt(place, command)
        place.wait_for(lambda found: not any(folder.is_held() for folder in found))
        assert set(place.states()) <= {"preempted", "pending"}, place.story()
        assert not launchers.owners(place.store, folders).taken
        reached = min(folder.written_status().step for folder in folders)
        command = self._start(place)
        place.wait_for(lambda found: all(_trains(folder, reached + 1) for folder in found))
        pid = folders[0].written_status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self._finish(place, command)
        assert results_of(place.store.path) == local_results(self.text())
        assert not launchers.owners(place.store, folders).taken
        assert "2 done" in place.ok("sweep", place.file, "--no-report"), "nothing runs twice"

    def _start(self, place: Place) -> subprocess.Popen[str] | None:
        """Starts the sweep; returns its command where that runs the trials itself."""
        if self.detaches:
            place.ok("sweep", place.file)
            return None
        return place.start("sweep", place.file, "--no-report")

    def _check_running(self, place: Place, folders: list[TrialFolder]) -> None:
        """Checks what is reported while two trials train."""
        found = standings(place.store, place.store.plan())
        assert [standing.status for standing in found] == ["running", "running"]
        if not self.detaches:
            return
        again = place.harness("sweep", place.file, "--no-report")
        assert again.returncode == 0, again.stderr
        assert "0 trials submitted, 2 at work or in the queue already" in again.stdout
        for job in [folder.written_status().job for folder in folders]:
            assert launchers.launcher_of(job).name == self.launch["where"]
            assert launchers.describe(place.store, job).text.startswith("started on ")
            assert all(path.exists() for path in launchers.logs(place.store, job))
        tasks = [task for folder in folders if (task := open_task(folder, "")) is not None]
        with pytest.raises(UserError, match="and are left to it"):
            launchers.without_owned(place.store, tasks, launchers.launcher("local"))

    def _interrupt(self, place: Place, command: subprocess.Popen[str] | None) -> None:
        """Cancels the jobs, or stops the command that runs the trials itself, as its user would."""
        if command is None:
            assert "2 trials cancelled" in place.ok("cancel", place.store.path)
            return
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=self.timeout_s)

    def _finish(self, place: Place, command: subprocess.Popen[str] | None) -> None:
        """Brings the run to its end as a user would after a worker was killed."""
        if command is not None:
            command.communicate(timeout=self.timeout_s)
        place.wait_for(_have_ended)
        assert "killed" in place.states(), place.story()
        place.ok("retry", place.store.path, "--status", "killed,oom")
        place.ok("sweep", place.file, "--no-report")
        place.wait_for(_have_ended)
        assert place.states() == ["done", "done"], place.story()


def _trains(folder: TrialFolder, step: int = 60) -> bool:
    """Returns whether a trial runs and has reached a step after its first checkpoint."""
    status = folder.status()
    return status.status == "running" and status.step >= step


def _have_ended(folders: list[TrialFolder]) -> bool:
    return all(state_of(folder).status not in OPEN_STATUSES and not folder.is_held() for folder in folders)
