"""The whole campaign: many SIGKILLs at seeded random instants, a fresh run folder every few kills.

`python -m tests.faults.campaign --kills 100` prints what it does and ends with a table; exit code 1 if anything was
lost, repeated, left behind or came out different. What is done lies in the folder: the same command continues.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.kills import TARGETS, Kill, Observer, Setting, disturb
from tests.faults.scene import LONGER, SEARCH, Scene, faults_at_the_end

#: sweeps that a campaign can disturb
SETTINGS = {
    "local": Setting(text=LONGER.replace("[0, 1]", "[0, 1, 2]")),
    # a worker that is killed alone three times is given up by the search, as it should be: no result to repeat
    "search": Setting(text=SEARCH, targets={"controller": TARGETS["pool"], "group": TARGETS["group"]}),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--kills-per-round", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--setting", choices=[*SETTINGS], default="local")
    parser.add_argument("--folder", type=Path, default=Path("build/campaign"))
    parsed = parser.parse_args()
    campaign = Campaign(parsed.folder.resolve() / f"{parsed.setting}-{parsed.seed}", SETTINGS[parsed.setting])
    return campaign.run(parsed.kills, parsed.kills_per_round, parsed.seed)


class Campaign:
    """`rounds.jsonl` in its folder has one line for each round that came to its end."""

    def __init__(self, folder: Path, setting: Setting):
        self.folder = folder
        self.setting = setting
        self.rounds_file = folder / "rounds.jsonl"

    def run(self, num_kills: int, kills_per_round: int, seed: int) -> int:
        """Rounds until there were so many kills; returns the exit code."""
        undisturbed = self._undisturbed()
        rounds = self._rounds()
        while (given := sum(len(item["kills"]) for item in rounds)) < num_kills:
            number = len(rounds)
            print(f"round {number}: {given}/{num_kills} kills so far", flush=True)
            done = self._round(number, min(kills_per_round, num_kills - given), f"{seed}/{number}", undisturbed)
            with open(self.rounds_file, "a") as file:
                file.write(json.dumps(done) + "\n")
            rounds = self._rounds()
        print(table(rounds))
        return 1 if any(item["faults"] for item in rounds) else 0

    def _rounds(self) -> list[dict[str, Any]]:
        if not self.rounds_file.exists():
            return []
        return [json.loads(line) for line in self.rounds_file.read_text().splitlines()]

    def _scene(self, name: str) -> Scene:
        return Scene(self.folder / name, self.setting.text, self.setting.arguments)

    def _undisturbed(self) -> Any:
        scene = self._scene("undisturbed")
        scene.end()
        begin = time.monotonic()
        faults = scene.finish(patience=1)
        if faults:
            sys.exit("\n".join(faults))
        print(f"undisturbed: {time.monotonic() - begin:.0f} s", flush=True)
        return self.setting.results(scene.run)

    def _round(self, number: int, num_kills: int, seed: str, undisturbed: Any) -> dict[str, Any]:
        """One folder, disturbed, finished and judged; continues in the folder of a campaign that was killed itself."""
        scene, generator = self._scene(f"round-{number:03d}"), random.Random(seed)
        scene.end()
        kills: list[Kill] = []
        faults: list[str] = []
        begin = time.monotonic()
        try:
            with Observer(scene.run) as observer:
                for event in disturb(scene, self.setting, generator, num_kills, observer):
                    print(f"  {time.monotonic() - begin:5.0f} s  {event}", flush=True)
                    kills += [event] if isinstance(event, Kill) else []
                    faults += [event] if isinstance(event, str) else []
                faults += _outlast(scene) or scene.finish()
            faults += observer.faults + faults_at_the_end(scene, undisturbed, self.setting.results)
        finally:
            scene.end()
        for fault in faults:
            print(f"  FAULT {fault}", flush=True)
        return {
            "kills": [asdict(kill) for kill in kills], "faults": faults, "seconds": round(time.monotonic() - begin),
            "looks": observer.num_checks,
        }  # fmt: skip


def _outlast(scene: Scene) -> list[str]:
    """Waits for the end of a sweep command that survived the kills."""
    if scene.process is not None and scene.is_running() and scene.process.wait(timeout=600) not in (0, 1):
        return [f"the sweep ended with {scene.process.returncode}: {scene.output()[-2000:]}"]
    return []


def table(rounds: list[dict[str, Any]]) -> str:
    """Returns a table of the kills and of the faults afterwards."""
    kills = [kill for item in rounds for kill in item["kills"]]
    faults = [fault for item in rounds for fault in item["faults"]]
    targets, phases = sorted({kill["target"] for kill in kills}), sorted({kill["phase"] for kill in kills})
    counts = Counter((kill["phase"], kill["target"]) for kill in kills)
    lines = [f"{'':18s}" + "".join(f"{target:>12s}" for target in [*targets, "all"])]
    for phase in [*phases, "all"]:
        row = [sum(n for (p, t), n in counts.items() if phase in (p, "all") and target in (t, "all"))
               for target in [*targets, "all"]]  # fmt: skip
        lines.append(f"{phase:18s}" + "".join(f"{number:12d}" for number in row))
    seconds, looks = sum(item["seconds"] for item in rounds), sum(item["looks"] for item in rounds)
    lines.append(f"{len(rounds)} rounds, {len(kills)} kills, {seconds} s, {looks} status checks")
    return "\n".join([*lines, f"{len(faults)} faults", *faults])


if __name__ == "__main__":
    sys.exit(main())
