"""Faults of concurrency at seeded random instants: `python -m tests.faults.concurrency.campaign --faults 100`.

Ten in each run folder, which is then finished and judged. A table at the end; exit code 1 if anything was lost, trained
twice, unmarked, hung or left behind. What is done lies in the folder: the same command continues.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import harness, scores
from tests.faults.concurrency.faults import KINDS, Disturbed, ended
from tests.faults.concurrency.judge import Judge, Shown
from tests.faults.concurrency.traced import Traced

PATIENCE = 6  # sweep commands until everything is done
SWEEP_SECONDS = 300.0


@dataclass
class Given:
    """One fault that was given: its kind, when, and what went wrong before the next."""

    kind: str
    seconds: float
    wrong: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--faults-per-round", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=[*KINDS])
    parser.add_argument("--folder", type=Path, default=Path("build/campaign"))
    parsed = parser.parse_args()
    folder = parsed.folder.resolve() / f"concurrency-{parsed.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rounds.jsonl"
    rounds = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    undisturbed = results_undisturbed(folder / "undisturbed")
    while (num_given := sum(len(item["given"]) for item in rounds)) < parsed.faults:
        number = len(rounds)
        print(f"round {number}: {num_given}/{parsed.faults} faults so far", flush=True)
        kinds = sequence(parsed.kinds, parsed.seed, num_given, min(parsed.faults_per_round, parsed.faults - num_given))
        rounds.append(play(folder / f"round-{number:03d}", kinds, f"{parsed.seed}/{number}", undisturbed, print))
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(rounds[-1]) + "\n")
    print(table(rounds))
    return 1 if any(wrong(item) for item in rounds) else 0


def sequence(kinds: Sequence[str], seed: int, first: int, number: int) -> list[str]:
    """Returns the kinds of so many faults from a place of the campaign on: each turn has every kind once."""
    generator, found = random.Random(seed), list[str]()
    while len(found) < first + number:
        found += generator.sample(kinds, len(kinds))
    return found[first : first + number]


def results_undisturbed(folder: Path) -> dict[str, Any]:
    """Returns the scores of the sweep when nothing happens. Raises: SystemExit."""
    scene = Traced(folder)
    scene.end()
    if scene.start().wait(timeout=SWEEP_SECONDS) != 0:
        sys.exit(scene.output())
    return scores(scene.run)


def play(folder: Path, kinds: Sequence[str], seed: str, undisturbed: dict[str, Any], say: Any) -> dict[str, Any]:
    """Disturbs a fresh run with these faults, finishes it and judges it; continues a folder that was left."""
    scene, begin = Traced(folder), time.monotonic()
    scene.end()
    disturbed, judge, given = Disturbed(scene), Judge(scene), list[Given]()
    try:
        for number, kind in enumerate(kinds):
            given.append(Given(kind, round(time.monotonic() - begin, 1)))
            given[-1].wrong += _give(disturbed, judge, kind, random.Random(f"{seed}/{number}"))
            say(f"  {given[-1].seconds:6.1f} s  {kind}", flush=True)
            for fault in given[-1].wrong:
                say(f"    FAULT {fault}", flush=True)
        at_the_end = list(_finish(disturbed, judge, undisturbed))
    finally:
        scene.end()
    for fault in at_the_end:
        say(f"  FAULT {fault}", flush=True)
    return {
        "given": [asdict(item) for item in given], "at_the_end": at_the_end,
        "seconds": round(time.monotonic() - begin), "num_done": len(scores(scene.run)),
    }  # fmt: skip


def _give(disturbed: Disturbed, judge: Judge, kind: str, generator: random.Random) -> Iterator[str]:
    """Starts the sweep if nothing runs, waits for a random instant, gives the fault; yields what is wrong then."""
    scene, delay = disturbed.scene, generator.uniform(0.1, 1.2)
    if not scene.is_running():
        scene.start()
    deadline = time.monotonic() + delay
    while time.monotonic() < deadline:
        yield from judge.look()
        time.sleep(0.05)
    yield from KINDS[kind](disturbed, generator)
    yield from judge.look()


def _finish(disturbed: Disturbed, judge: Judge, undisturbed: dict[str, Any]) -> Iterator[str]:
    """Lets everything end, repeats the sweep until all is done, and judges."""
    scene = disturbed.scene
    (scene.folder / "fork").unlink(missing_ok=True)
    scene.restore()
    yield from _wait_for_all(disturbed, judge)
    for _ in range(PATIENCE):
        if len(scores(scene.run)) == len(undisturbed) and scene.start().wait(timeout=SWEEP_SECONDS) == 0:
            break
        yield from disturbed.command("retry", scene.run)
        scene.start()
        yield from _wait_for_all(disturbed, judge)
    else:
        yield f"unfinished: after {PATIENCE} sweep commands: {scene.output()[-1500:]}"
        return
    report, shown = (harness(verb, scene.run, cwd=scene.folder) for verb in ("report", "status"))
    for verb, done in (("report", report), ("status", shown)):
        yield from ended(done.returncode, done.stdout + done.stderr, verb)
    yield from judge.look()
    yield from judge.at_the_end(undisturbed, Shown.of(scene.run, shown.stdout))


def _wait_for_all(disturbed: Disturbed, judge: Judge) -> Iterator[str]:
    """Waits for the end of the sweep and of all other commands; one that hangs is a fault."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while disturbed.scene.is_running() and time.monotonic() < deadline:
        yield from judge.look()
        time.sleep(0.05)
    sweep = disturbed.scene.process
    if sweep is not None:
        yield from ended(sweep.poll(), disturbed.scene.output(), "sweep")
    for process, _ in list(disturbed.running):
        yield from ended(*disturbed.wait(process, max(deadline - time.monotonic(), 1.0)), str(process.args))
    yield from judge.look()


def wrong(item: dict[str, Any]) -> list[str]:
    """Returns all that went wrong in a round."""
    return [*(text for given in item["given"] for text in given["wrong"]), *item["at_the_end"]]


def table(rounds: Sequence[dict[str, Any]]) -> str:
    """Returns a table of the faults by kind with what went wrong right after them, and at the end of the rounds."""
    given = [fault for item in rounds for fault in item["given"]]
    kinds = Counter(fault["kind"] for fault in given)
    counts = Counter((fault["kind"], text.split(":")[0]) for fault in given for text in fault["wrong"])
    counts.update(("at the end", text.split(":")[0]) for item in rounds for text in item["at_the_end"])
    names = sorted({name for _, name in counts})
    lines = [f"{'':14s}" + "".join(f"{name:>13s}" for name in ["faults", *names])]
    for kind in [*sorted(kinds), "at the end", "all"]:
        number = len(given) if kind == "all" else kinds[kind]
        row = [sum(n for (k, c), n in counts.items() if c == name and kind in (k, "all")) for name in names]
        lines.append(f"{kind:14s}" + "".join(f"{count:13d}" for count in [number, *row]))
    seconds, num_done = sum(item["seconds"] for item in rounds), sum(item["num_done"] for item in rounds)
    lines.append(f"{len(rounds)} rounds, {len(given)} faults, {num_done} trials done, {seconds} s")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
