"""docs/slurm.md is true: every command in it, in its order, on a real cluster; its example is a valid block."""

from __future__ import annotations

import re
import shlex

import yaml

from harness.sweep.launch.config import LaunchConfig
from tests.e2e import ROOT
from tests.slurm.user import TINY, User

TEXT = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m harness (.+)$", TEXT, re.MULTILINE)


def test_every_command_does_what_the_page_says(user: User) -> None:
    (user.folder / "sweeps").mkdir()
    user.write(TINY.replace("where: slurm, ", ""), "sweeps/window_size")
    said: list[tuple[str, str]] = []
    for line in COMMANDS:
        trial = next((path.name for path in sorted(user.folder.glob("runs/*/trials/*"))), "")
        words = shlex.split(line.replace("TRIAL", trial))
        said.append((words[0], user.ok(*words)))
    verbs = [verb for verb, _ in said]
    assert verbs == ["doctor", "sweep", "sweep", "status", "logs", "cancel", "sweep", "watch", "retry", "report"]
    text = dict(said)
    assert "all is well" in text["doctor"]
    assert "2 trials submitted" in said[2][1]
    assert "2 trials cancelled" in text["cancel"]
    assert "2 trials submitted" in text["sweep"]  # the last one: it brings the run forward
    assert text["watch"].splitlines()[-1] == "trained 2/2, timed 2/2 (2 done)"
    assert "nothing to retry" in text["retry"]
    assert (user.folder / "runs/window_size/report/index.html").exists()


def test_the_example_of_a_launch_block_is_valid_and_shows_every_resource() -> None:
    [block] = re.findall(r"```yaml\n(launch:.*?)```", TEXT, re.DOTALL)
    launch = yaml.load(block.replace("04:00:00", '"04:00:00"').replace("1-00:00:00", '"1-00:00:00"'), yaml.SafeLoader)
    config = LaunchConfig(**launch["launch"])
    assert config.overrides[1].where == {"model.num_frames": 32, "seed": 0}
    assert {"partition", "account", "gpus", "cpus", "mem", "time", "array_parallelism", "setup"} <= launch[
        "launch"
    ].keys()
