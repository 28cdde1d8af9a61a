"""Many seeded damages to the files of finished runs: `python -m tests.damage.campaign --mutations 1000`.

After each one the harness reports, shows the status, verifies and resumes the run, all in this process. The end is a
table; exit code 1 after any fault. What is done lies in the folder: the same command continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.damage.damages import KINDS
from tests.damage.judge import Verdict, judge
from tests.damage.scene import in_process


def main() -> int:
    """Runs the mutations that are left and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS], default=[*KINDS])
    parser.add_argument("--folder", type=Path, default=Path("build/campaign/damage"))
    parsed = parser.parse_args()
    place = parsed.folder.resolve()
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"seed-{parsed.seed}.jsonl"
    done = [Verdict(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
    with in_process(), open(file, "a", encoding="utf-8") as verdicts:
        for number in range(len(done), parsed.mutations):
            found = mutation(place, number, parsed.seed, parsed.kinds)
            print(f"{number:5d} {found.kind:10s} {found.what:26s} {found.file}", flush=True)
            for fault in found.faults:
                print(f"      FAULT {fault}", flush=True)
            verdicts.write(json.dumps(asdict(found)) + "\n")
            verdicts.flush()
            done.append(found)
    print(table(done))
    return 1 if any(verdict.faults for verdict in done) else 0


def mutation(place: Path, number: int, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> Verdict:
    """Runs mutation `number` of a campaign: the kinds take turns."""
    return judge(place, kinds[number % len(kinds)], f"{seed}/{number}")


def table(verdicts: Sequence[Verdict]) -> str:
    """Returns a table of the mutations by kind, and of the faults."""
    counts: Counter[tuple[str, str]] = Counter()
    for verdict in verdicts:
        counts[verdict.kind, "mutations"] += 1
        counts[verdict.kind, "noticed"] += verdict.noticed
        for fault in verdict.faults:
            counts[verdict.kind, fault.split(":")[0].split(" of ")[0]] += 1
    columns = list(
        dict.fromkeys(["mutations", "noticed", "traceback", "hang", "silent", *(name for _, name in counts)])
    )
    lines = [f"{'':12s}" + "".join(f"{name:>12s}" for name in columns)]
    for kind in [*KINDS, "all"]:
        numbers = [sum(n for (k, c), n in counts.items() if c == name and kind in (k, "all")) for name in columns]
        lines.append(f"{kind:12s}" + "".join(f"{number:12d}" for number in numbers))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
