"""A trial of two processes: on one node its worker starts them, on two nodes SLURM does. About 140 s on one busy core."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.e2e import scores, statuses
from tests.slurm.cluster import eventually
from tests.slurm.user import LONG, User, run_locally

PAIR = LONG.replace("num_steps: 900", "num_steps: 400, num_processes: 2").replace(
    "checkpoint_every_steps: 50", 'checkpoint_every_steps: 20, setup: ["export GLOO_SOCKET_IFNAME=lo"]'
)
TWO_NODES = ("--set", "launch.nodes=2")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Returns the results of the local pool without interruption."""
    return run_locally(tmp_path_factory.mktemp("together"), PAIR)


def workers(user: User) -> dict[int, str]:
    """Rank -> process of the workers that train now."""
    found = {}
    for pid in user.cluster.processes_of_jobs():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            node = re.search(rb"SLURMD_NODENAME=(\w+)", Path(f"/proc/{pid}/environ").read_bytes())
        except OSError:
            continue
        if (rank := re.search(r"harness worker .* --rank (\d)", line)) and node is not None:
            found[int(rank[1])] = f"{pid} {node[1].decode()}"
    return found


def test_on_one_node_the_job_has_cpus_for_all_and_runs_the_code_that_was_submitted(
    user: User, together: dict[str, object]
) -> None:
    (user.folder / "harness").mkdir()
    (user.folder / "harness" / "__init__.py").write_text("raise RuntimeError('edited since')", encoding="utf-8")
    assert "2 CPUs" in user.ok("sweep", user.write(PAIR))
    user.wait_for_queue()
    assert user.states() == ["done"], user.story()
    assert scores(user.run) == together


def test_two_nodes_told_to_stop_and_after_the_loss_of_a_rank_go_on_to_the_same_bits(
    user: User, together: dict[str, object]
) -> None:
    user.write(PAIR)
    assert "2 processes on 2 nodes, each with 1 CPU" in user.ok("sweep", "mini.yaml", *TWO_NODES)
    user.wait_for_step(20)
    assert {where.split()[1] for where in workers(user).values()} == {"n1", "n2"}
    [line] = user.cluster.queue()
    user.cluster.run("scancel", "--signal=USR2", line.split()[0])
    eventually(lambda: user.states() == ["preempted"], 20, user.story)
    stopped_at = next(iter(statuses(user.run).values()))["step"]
    eventually(lambda: user.states() == ["running"], 40, user.story)  # requeued by rank 0 alone
    eventually(lambda: 1 in workers(user), 20, user.story)
    process = int(workers(user)[1].split()[0])
    user.wait_for_step(stopped_at + 20)

    os.kill(process, signal.SIGKILL)
    user.wait_for_queue(30)
    [status] = statuses(user.run).values()
    assert (status["status"], "lost the connection" in status["message"]) == ("lost", True), user.story()
    [log] = user.run.glob("jobs/*/log/*_1_log.out")
    assert "rank 1 on" in log.read_text()
    assert sorted(path.name for path in user.run.glob("jobs/*/started/0/*")) == ["0", "1"]

    assert "1 trial submitted" in user.ok("sweep", "mini.yaml", *TWO_NODES)
    user.wait_for_queue()
    assert user.states() == ["done"], user.story()
    assert scores(user.run) == together
