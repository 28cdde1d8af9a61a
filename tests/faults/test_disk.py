"""A full disk, a read-only folder or file: one line reports it, and nothing finished is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness.store import Store, TrialStatus
from tests.e2e import command, environment, harness, records, statuses
from tests.faults.mounts import in_private_mounts
from tests.faults.scene import results

FRESH = ("record.json", "status.json", "checkpoint.safetensors", "attempts.jsonl", "log.txt")

FULL = """
mkdir disk
mount -t tmpfs -o size=16m tmpfs disk
cp -a runs/. disk
dd if=/dev/zero of=disk/filler bs=1k 2>dd.log || true
step nothing_free $HARNESS sweep mini.yaml --runs disk --no-report
step status $HARNESS status disk/mini
step report $HARNESS report disk/mini
truncate -s -60k disk/filler
step little_free $HARNESS sweep mini.yaml --runs disk --no-report
rm disk/filler
step retry $HARNESS retry disk/mini
step again $HARNESS sweep mini.yaml --runs disk --no-report
rm -r runs
cp -a disk runs
"""

READ_ONLY = """
mount --bind runs runs
mount -o remount,ro,bind runs
step status $HARNESS status runs/mini
step sweep $HARNESS sweep mini.yaml
step report $HARNESS report runs/mini
umount runs
mount --bind runs/mini/trials/{trial} runs/mini/trials/{trial}
mount -o remount,ro,bind runs/mini/trials/{trial}
step one_folder $HARNESS sweep mini.yaml --no-report
"""


def reset(run: Path) -> str:
    """Makes one trial of a finished run as if it had never run; returns its id."""
    first = min(records(run))
    for name in FRESH:
        (run / "trials" / first / name).unlink()
    return first


def test_a_full_disk_is_said_and_with_space_again_the_sweep_goes_on(place: Path, undisturbed: Path) -> None:
    run = place / "runs/mini"
    trial_id = reset(run)
    kept = {key: (run / "trials" / key / "record.json").read_bytes() for key in records(run)}
    steps = in_private_mounts(FULL, place)
    code, output = steps["nothing_free"]
    assert code == 2
    assert "No space left on device" in output
    assert steps["status"][0] == 0
    assert "1 done" in steps["status"][1]
    assert "1 pending" in steps["status"][1]
    code, output = steps["report"]
    assert (code, output.splitlines()[0][:32]) == (2, "report: No space left on device.")
    code, output = steps["little_free"]  # the checkpoint does not fit, the word about it does
    assert code == 1
    assert f"{trial_id}  temporal_window" in output
    assert "No space left on device" in output
    assert not any("Traceback" in output for _, output in steps.values())
    assert steps["again"][0] == 0
    assert results(run) == results(undisturbed)
    assert {key: (run / "trials" / key / "record.json").read_bytes() for key in kept} == kept
    assert not list(run.rglob(".*.tmp"))


def test_a_limit_on_the_size_of_files_does_as_a_full_disk_does(place: Path) -> None:
    """Replaces the full disk where mounting is not allowed: the write of the checkpoint fails half-way."""
    trial = place / "runs/mini/trials" / reset(place / "runs/mini")
    limited = "import os, resource as r, sys; r.setrlimit(r.RLIMIT_FSIZE, (30000, 30000)); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", limited, *command("worker", trial, "--stage", "train")],
        cwd=place, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    status = statuses(place / "runs/mini")[trial.name]
    assert status["status"] == "failed"
    assert "File too large" in status["message"]
    assert not list(trial.glob("*checkpoint*")) + list(trial.glob(".*.tmp"))


def test_a_read_only_run_can_be_looked_at_and_one_read_only_trial_costs_itself(place: Path) -> None:
    store = Store(place / "runs/mini")
    trial_id = reset(store.path)
    store.trial(trial_id).write_status(TrialStatus(status="running", stage="train", step=7))
    steps = in_private_mounts(READ_ONLY.format(trial=trial_id), place)
    assert steps["status"][0] == 0
    assert "its worker is gone (stage train, step 7)" in steps["status"][1]
    for verb in ("sweep", "report"):
        code, output = steps[verb]
        assert code == 2
        assert "Read-only file system" in output.splitlines()[-1]
    code, output = steps["one_folder"]
    assert code == 1
    assert f"{trial_id}: its folder cannot be written: [Errno 30] Read-only file system" in output
    assert "1 done" in output
    assert not any("Traceback" in output for _, output in steps.values())
    assert len(records(store.path)) == 1


def test_a_record_that_cannot_be_written_fails_its_trial_with_the_reason(place: Path, undisturbed: Path) -> None:
    run = place / "runs/mini"
    trial = run / "trials" / reset(run)
    shutil.copy(undisturbed / "trials" / trial.name / "checkpoint.safetensors", trial)  # trained, not yet written
    (trial / "record.json").mkdir()
    (trial / "record.json/something").touch()
    done = harness("sweep", "mini.yaml", "--no-report", cwd=place)
    assert done.returncode == 1
    assert f"{trial.name}  temporal_window = 0, seed 0: invalid: damaged record (it is not a plain file)" in done.stdout
    assert "Traceback" not in done.stderr
    shown = harness("status", run, cwd=place)
    assert shown.returncode == 0
    assert "1 done" in shown.stdout
    assert "1 invalid" in shown.stdout
    worker = harness("worker", trial, "--stage", "train", cwd=place)
    assert worker.returncode == 1
    assert "it is not a plain file" in statuses(run)[trial.name]["message"]
    assert (trial / "checkpoint.safetensors").exists()
