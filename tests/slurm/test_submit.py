"""Submissions of `sweep --launch slurm`, whatever happens meanwhile. No job starts here: the partition is shut."""

from __future__ import annotations

import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.e2e import MINI
from tests.slurm.cluster import Cluster, eventually
from tests.slurm.user import TINY, User

pytestmark = pytest.mark.usefixtures("held")

REAL = {name: shutil.which(name) for name in ("sbatch", "squeue", "scancel")}


def shown(cluster: Cluster) -> list[dict[str, str]]:
    """Every job as scontrol shows it."""
    blocks = cluster.run("scontrol", "show", "job", "--oneliner").splitlines()
    return [dict(re.findall(r"(\S+?)=(\S*)", block)) for block in blocks if "JobState=PENDING" in block]


def test_resources_of_the_block_and_of_overrides_reach_sbatch(user: User) -> None:
    launch = (
        "launch: {time: 00:07:00, mem: 100M, cpus: 2, array_parallelism: 5, exclude: n2, "
        "overrides: [{where: {variant.temporal_window: 1}, partition: high, time: 1-00:00:00, cpus: 1}, "
        "{where: {seed: 1, variant: mixing, variant.temporal_window: 1}, mem: 1G, exclusive: true}]"
    )
    user.write(MINI.replace("launch: {", f"{launch}, ").replace("seeds: 1", "seeds: 2"))
    user.cluster.run("scontrol", "update", "PartitionName=high", "State=DOWN")
    try:
        user.ok("sweep", "mini.yaml", "--launch", "slurm")
        jobs = shown(user.cluster)
    finally:
        user.cluster.run("scancel", "-p", "high")
        user.cluster.run("scontrol", "update", "PartitionName=high", "State=UP")
    found = {
        (job["Partition"], job["TimeLimit"], job["CPUs/Task"], job["MinMemoryNode"], job["ExcNodeList"]): job
        for job in jobs
    }
    assert set(found) == {
        ("low", "00:07:00", "2", "100M", "n2"),
        ("high", "1-00:00:00", "1", "100M", "n2"),
        ("high", "1-00:00:00", "1", "1G", "n2"),
    }
    assert all(job["Requeue"] == "1" for job in jobs)
    assert [job["OverSubscribe"] for job in jobs if job["MinMemoryNode"] == "1G"] == ["NO"]


def test_what_never_starts_is_refused_and_why_the_rest_waits_is_shown(user: User) -> None:
    done = user.here("sweep", user.write(), "--set", "launch.cpus=64")
    assert (done.returncode, user.cluster.queue()) == (2, [])
    assert "64 CPUs, 00:05:00: Requested node configuration is not available" in done.stderr
    user.cluster.run("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=test")
    try:
        said = user.ok("sweep", "mini.yaml")
    finally:
        user.cluster.run("scontrol", "update", "nodename=n1,n2", "state=resume")
    assert "while nodes are down, drained or reserved" in said
    assert "2 trials submitted" in said
    eventually(lambda: user.ok("status", "runs/mini").count("in SLURM: PENDING, Part") == 2, 10)


def test_long_sweeps_are_split_and_the_cap_holds_over_all_arrays(user: User) -> None:
    user.ok("sweep", user.write(TINY.replace("seeds: 1", "seeds: 110")), "--set", "launch.array_parallelism=3")
    jobs = shown(user.cluster)
    assert sum(int(job["ArrayTaskThrottle"]) for job in jobs) == 3
    assert sorted(job["ArrayTaskId"].split("%")[0] for job in jobs) == ["0-100", "0-100", "0-17"]
    assert len(set(user.queued_jobs())) == 220
    assert "0 trials submitted, 220 at work" in user.ok("sweep", "mini.yaml")
    assert "110 trials cancelled" in user.ok("cancel", "runs/mini", "--only", "variant.temporal_window=1")
    assert len(user.cluster.queue()) == 110


def test_the_cap_holds_over_submissions_too(user: User) -> None:
    cap = ("--set", "launch.array_parallelism=2")
    user.ok("sweep", user.write(TINY.replace("seeds: 1", "seeds: 4")), "--only", "seed=0", *cap)
    [first] = {job["ArrayJobId"] for job in shown(user.cluster)}
    user.ok("sweep", "mini.yaml", "--only", "seed=1", *cap)
    waiting = [job for job in shown(user.cluster) if job["ArrayJobId"] != first]
    assert all(f"afterany:{first}" in job["Dependency"] for job in waiting)
    user.ok("cancel", "runs/mini")
    user.ok("sweep", "mini.yaml", "--only", "seed=2", "--only", "variant.temporal_window=0", *cap)
    user.ok("sweep", "mini.yaml", "--only", "seed=3", *cap)  # one is there already: room for one more
    [array] = [job for job in shown(user.cluster) if "ArrayTaskThrottle" in job]
    assert (array["ArrayTaskThrottle"], array["Dependency"]) == ("1", "(null)")


def test_a_second_command_submits_nothing_twice_and_cancel_releases_all(user: User) -> None:
    first = user.ok("sweep", user.write())
    assert "2 trials submitted" in first
    assert user.states() == ["queued", "queued"]
    assert "0 trials submitted, 2 at work or in the queue already" in user.ok("sweep", "mini.yaml")
    assert len(user.cluster.queue()) == 2
    assert "queued" in user.ok("status", "runs/mini")
    assert "2 trials cancelled" in user.ok("cancel", "runs/mini")
    assert user.cluster.queue() == []
    assert (user.states(), user.queued_jobs()) == (["pending", "pending"], ["", ""])
    assert "2 trials submitted" in user.ok("sweep", "mini.yaml")


def test_two_commands_at_once_submit_once(user: User) -> None:
    user.write()
    both = [user.start("sweep", "mini.yaml") for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    # the later one either met the lock, or came after the earlier one and found everything submitted
    assert codes in ([0, 2], [0, 0]), said
    assert sum("2 trials submitted" in text for text in said) == 1
    assert len(user.cluster.queue()) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_submitter_killed_around_sbatch_submits_nothing_twice(user: User, when: str) -> None:
    kill = 'kill -9 "$PPID"'
    user.program("sbatch", kill if when == "before" else f'{REAL["sbatch"]} "$@"; {kill}')
    assert user.harness("sweep", user.write()).returncode == -signal.SIGKILL
    assert user.states() == ["queued", "queued"]
    assert len(user.cluster.queue()) == (0 if when == "before" else 2)
    (user.bin / "sbatch").unlink()
    said = user.ok("sweep", "mini.yaml")
    assert ("adopted" if when == "after" else "pending again") in said
    assert len(user.cluster.queue()) == 2
    names = {line.split(".")[1] for line in user.cluster.queue("-o", "%j")}
    assert {job.split("/")[0] for job in user.queued_jobs()} == names
    assert len(list(user.run.glob("jobs/*/log/*_submitted.pkl"))) == 2  # every job finds its pickle


@pytest.mark.parametrize(
    ("script", "submitted"),
    [
        ('echo "no such account" >&2; exit 1', False),
        ("echo lorem ipsum", False),
        ('{sbatch} "$@" >&2; echo lorem ipsum', True),
        ('{sbatch} "$@"; echo "Socket timed out" >&2; exit 1', True),
    ],
    ids=["fails", "nonsense", "nonsense, but submits", "fails, but submits"],
)
def test_sbatch_that_fails_or_prints_nonsense(user: User, script: str, submitted: bool) -> None:
    user.program("sbatch", script.replace("{sbatch}", str(REAL["sbatch"])))
    done = user.here("sweep", user.write())
    assert len(user.cluster.queue()) == 2 * submitted
    assert user.states() == (["queued", "queued"] if submitted else ["pending", "pending"])
    assert done.returncode == (0 if submitted else 2), done.stderr
    if not submitted:
        assert "sbatch did not accept the job" in done.stderr
        assert "Traceback" not in done.stderr
        (user.bin / "sbatch").unlink()
        assert "2 trials submitted" in user.ok("sweep", "mini.yaml")


def test_without_squeue_nothing_that_has_a_job_is_submitted(user: User) -> None:
    user.ok("sweep", user.write(), "--only", "variant.temporal_window=0")
    for number, broken in enumerate(("exit 1", "echo slurm_load_jobs garbage"), start=1):
        user.program("squeue", broken)
        done = user.here("sweep", "mini.yaml")
        assert done.returncode == 2
        assert f"{number} trials have a job that SLURM does not confirm" in done.stderr  # the other was submitted
    (user.bin / "squeue").unlink()
    assert len(user.cluster.queue()) == 2
    assert "0 trials submitted, 2 at work" in user.ok("sweep", "mini.yaml")


def test_an_unconfirmed_submission_is_confirmed_later(user: User) -> None:
    user.program("sbatch", f'{REAL["sbatch"]} "$@" > /dev/null; exit 1')
    user.program("squeue", "exit 1")
    done = user.here("sweep", user.write())
    assert done.returncode == 2
    assert "once squeue answers" in done.stderr
    for name in ("sbatch", "squeue"):
        (user.bin / name).unlink()
    assert "adopted" in user.ok("sweep", "mini.yaml")
    assert len(user.cluster.queue()) == 2


def test_the_environment_of_an_enclosing_job_is_not_passed_on(user: User) -> None:
    inherited = {
        "SLURM_JOB_ID": "7",
        "SLURM_CPU_BIND": "mask_cpu:0x1",
        "SLURM_MEM_PER_CPU": "1",
        "SUBMITIT_EXECUTOR": "x",
    }
    user.environment |= inherited | {"CUDA_VISIBLE_DEVICES": "0", "MY_DATA": "kept"}
    user.program("sbatch", f'env > {user.folder}/seen; {REAL["sbatch"]} "$@"')
    user.ok("sweep", user.write())
    seen = dict(line.partition("=")[::2] for line in (user.folder / "seen").read_text().splitlines())
    assert not seen.keys() & (inherited.keys() | {"CUDA_VISIBLE_DEVICES"})
    assert seen["SLURM_CONF"] == str(user.cluster.home / "slurm.conf")
    assert seen["MY_DATA"] == "kept"


def test_dropped_trials_are_listed_and_cancelled_on_request(user: User) -> None:
    user.ok("sweep", user.write())
    user.write(TINY.replace("[0, 1]", "[0, 2]"))
    said = user.ok("sweep", "mini.yaml")
    assert "1 trial submitted, 1 at work" in said
    assert said.count("no longer asked for") == 1
    assert len(user.cluster.queue()) == 3
    said = user.ok("sweep", "mini.yaml", "--cancel-dropped")
    assert "1 of them cancelled" in said
    assert len(user.cluster.queue()) == 2


@pytest.mark.parametrize("name", ["with 'quote", 'with "double', "line\nbreak", "per%cent", "back\\slash"])
def test_folders_that_slurm_cannot_carry_are_refused(user: User, name: str) -> None:
    done = user.here("sweep", user.write(), "--runs", name)
    assert done.returncode == 2
    assert "SLURM cannot write to a folder with" in done.stderr
    assert user.cluster.queue() == []
    assert not list(Path(user.folder).glob("*/mini/jobs"))


def test_options_of_the_local_pool_are_refused(user: User) -> None:
    done = user.here("sweep", user.write(), "--jobs", "2")
    assert (done.returncode, "launch.array_parallelism" in done.stderr) == (2, True)


def test_a_thousand_trials_are_submitted_in_seconds(user: User) -> None:
    user.write(TINY.replace("seeds: 1", "seeds: 500"))
    user.program("sbatch", f'echo x >> {user.folder}/calls; echo "Submitted batch job $(wc -l < {user.folder}/calls)"')
    user.program("scontrol", 'echo "MaxArraySize = 1001"')
    began = time.monotonic()
    assert "1000 trials submitted" in user.ok("sweep", "mini.yaml")
    took = time.monotonic() - began
    assert (user.folder / "calls").read_text().split() == ["x"]
    assert len(set(user.queued_jobs())) == 1000
    assert took < 20, f"{took:.1f} s"
