"""Trials that really run in jobs of a real cluster."""

from __future__ import annotations

import json
import os
import signal
import time

from tests.e2e import ROOT, harness, scores, statuses
from tests.slurm.cluster import eventually
from tests.slurm.user import LONG, TINY, User

#: accounting that reports every job as failed long ago
LYING_SACCT = 'echo asked >> {folder}/sacct_was_asked; echo "JobID|State|NodeList"; echo "1|FAILED|n1"; sleep 30'
OWN_VARIANT = (ROOT / "variants" / "mixing.py").read_text(encoding="utf-8")


def num_starts(user: User) -> dict[str, int]:
    """Returns the number of workers that started to train each trial."""
    files = user.run.glob("trials/*/attempts.jsonl")
    return {path.parent.name: path.read_text().count('"stage": "train"') for path in files}


def test_a_capped_array_in_a_folder_with_spaces_with_edited_code_and_lying_accounting(user: User) -> None:
    user.folder = user.folder / "my runs"
    user.folder.mkdir()
    (user.folder / "own").mkdir()
    variant = user.folder / "own" / "own_mixing.py"
    variant.write_text(OWN_VARIANT, encoding="utf-8")
    user.program("sacct", LYING_SACCT.format(folder=user.folder))
    text = TINY.replace("name: mixing", "name: own_mixing").replace("[0, 1]}", "[0, 1, 2]}")
    user.ok("sweep", user.write(text), "--variants", "own", "--set", "launch.array_parallelism=2")
    variant.write_text("raise RuntimeError('edited after the sweep was submitted')", encoding="utf-8")
    most = 0
    while user.cluster.queue():
        most = max(most, len([line for line in user.cluster.queue() if line.endswith("RUNNING")]))
        time.sleep(0.1)
    assert user.states() == ["done"] * 3, user.story()
    assert most == 2
    assert not (user.folder / "sacct_was_asked").exists()  # only files count
    assert set(num_starts(user).values()) == {1}
    record = json.loads(next(user.run.glob("trials/*/record.json")).read_text())
    assert record["environment"]["slurm"]["partition"] == "low"
    assert not record["costs"]["timings"]["alone"]  # a neighbour shared the node
    variant.write_text(OWN_VARIANT, encoding="utf-8")
    assert "3 done" in user.ok("sweep", "mini.yaml", "--variants", "own")  # nothing is submitted again
    assert "3 done" in user.ok("status", "runs/mini")


def test_packed_trials_outlive_the_controller(user: User) -> None:
    """slurmctld is away while two trials of one job run; their result does not depend on it."""
    user.ok("sweep", user.write(TINY.replace("num_steps: 8", "num_steps: 400")), "--set", "launch.pack=2")
    assert len(user.cluster.queue()) == 1
    user.wait_for_step(20)
    user.cluster.stop("slurmctld")
    assert "0 trials submitted" in user.here("sweep", "mini.yaml").stdout
    assert "lost" not in user.ok("status", "runs/mini", "--all")
    eventually(lambda: set(user.states()) <= {"done", "queued"}, 60, user.story)
    user.cluster.start_controller()
    user.wait_for_queue()
    assert user.states() == ["done", "done"], user.story()
    assert set(num_starts(user).values()) == {1}
    assert len({item["job"] for item in statuses(user.run).values()}) == 1


def test_a_lost_node_costs_no_result(user: User, undisturbed: dict[str, object]) -> None:
    user.ok("sweep", user.write(LONG))
    user.wait_for_step(100)
    [before] = statuses(user.run).values()
    node = before["node"]
    user.cluster.stop(f"slurmd.{node}", signal.SIGKILL)
    for pid in user.cluster.processes_of_jobs():  # a power failure ends everything on the node
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: "lost" in user.ok("status", "runs/mini"), 10, user.story)
    assert "at work or in the queue already" in user.ok("sweep", "mini.yaml")  # SLURM still believes that it runs
    assert num_starts(user) == dict.fromkeys(num_starts(user), 1)
    user.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=power")
    try:
        user.wait_for_queue()
    finally:
        user.cluster.start_node(node)
        user.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
        eventually(lambda: user.cluster.node_states() == ["idle", "idle"], 30)
    [after] = statuses(user.run).values()
    assert (after["status"], after["node"] != node) == ("done", True), user.story()
    assert scores(user.run) == undisturbed


def test_cancel_keeps_the_checkpoint_and_the_local_pool_resumes_from_it(
    user: User, undisturbed: dict[str, object]
) -> None:
    user.ok("sweep", user.write(LONG))
    user.wait_for_step(100)
    assert "1 trial cancelled" in user.ok("cancel", "runs/mini")
    assert user.cluster.queue() == []
    [status] = statuses(user.run).values()
    assert status["status"] == "preempted", user.story()
    assert status["step"] >= 100
    done = harness("sweep", "mini.yaml", "--launch", "local", "--no-report", cwd=user.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert scores(user.run) == undisturbed
    [record] = [json.loads(path.read_text()) for path in user.run.glob("trials/*/record.json")]
    assert record["training"]["num_resumes"] == 1
