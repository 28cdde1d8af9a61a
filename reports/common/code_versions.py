"""Which code made the records of a run. Only code that can change a trial is part of its identity (`record.code`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness import units
from harness.fields import get_field
from harness.record import Record
from harness.store.load import LoadedRun
from harness.store.marks import are_mixed


def row_marks(records: Iterable[Record]) -> list[str]:
    """Return a mark where the seeds of a row were made by several versions of the code, with each of them."""
    counts = Counter(_version(record) for record in records)
    return [f"several versions of the code: {_listed(counts, 'seed')}"] if are_mixed(counts) else []


def warnings(run: LoadedRun) -> list[str]:
    """Warn of each variant whose trials were made by several versions of the code, else of several harnesses."""
    variants: dict[str, Counter[str]] = {}
    for record in run.records.values():
        name = str(get_field(record.config, "variant.name", "the model"))
        variants.setdefault(name, Counter())[_version(record)] += 1
    mixed = {name: counts for name, counts in variants.items() if are_mixed(counts)}
    found = [
        f"Trials of {name} were made by several versions of the code, so their differences may come from the code: "
        f"{_listed(counts, 'trial')}. `--stale rerun` repeats those of earlier code."
        for name, counts in mixed.items()
    ]
    trunks = Counter(str(trunk) for record in run.records.values() if (trunk := record.environment.get("trunk")))
    if not mixed and len(trunks) > 1:
        found.append(
            "Variants were trained by several versions of the harness, so their differences may come from the code: "
            f"{_listed(trunks, 'trial')}. `--stale rerun` repeats those of earlier code."
        )
    return found


def _version(record: Record) -> str:
    return record.code or "not recorded"


def _listed(counts: Counter[str], unit: str) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [(version.replace("+", ", then "), number) for version, number in ordered]
    return "; ".join(f"{version} ({units.counted(number, unit)})" for version, number in shown)
