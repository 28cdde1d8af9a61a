"""`harness.check`: the contract that every variant keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import Fault, UserError
from harness.python_api.plans import PathLike, folders_of
from harness.python_api.tables import Table
from harness.registry import forget_changed, load_variant, variant_file, variant_names

if TYPE_CHECKING:
    from harness.contract import CheckOutcome


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The outcome of every check of some variants, by variant."""

    outcomes: dict[str, tuple[CheckOutcome, ...]]

    @property
    def broken(self) -> list[str]:
        """Variants that break the contract."""
        return [name for name, found in self.outcomes.items() if any(outcome.failures for outcome in found)]

    @property
    def is_kept(self) -> bool:
        """True if every variant keeps the contract."""
        return not self.broken

    @property
    def verdict(self) -> str:
        """Return how many variants keep the contract, and which break it, in a sentence."""
        kept = len(self.outcomes) - len(self.broken)
        broken = f"; broken: {', '.join(self.broken)}" if self.broken else ""
        return f"{kept} of {len(self.outcomes)} variants keep the contract{broken}"

    def table(self) -> Table:
        """Return one line for each check of each variant, then failures, refused cases and the verdict."""
        lines = [
            (name, outcome.check, "FAIL" if outcome.failures else "ok", outcome.extent)
            for name, found in self.outcomes.items()
            for outcome in found
        ]
        notes = [
            f"{name}, {outcome.check}: {text}"
            for name, found in self.outcomes.items()
            for outcome in found
            for text in (*outcome.failures, *outcome.refused)
        ]
        return Table(("variant", "check", "", "checked on"), tuple(lines), (*notes, self.verdict))

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def check(
    *names: str,
    variants: PathLike | Sequence[PathLike] = (),
    on_outcome: Callable[[str, CheckOutcome], None] | None = None,
) -> CheckResult:
    """Check that variants keep the contract: operators against closed forms, what can influence what, gradients, ...

    Args:
        names: names of variants (default: all).
        variants: folders with more variant files.
        on_outcome: is called with the variant's name and each outcome as soon as it is known.

    Raises:
        UserError: a variant is not there, or its file cannot be loaded.
    """
    forget_changed()
    folders = folders_of(variants)
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"check: {name!r} is not a name. Give names one by one: check('mixing', 'joint').")
    chosen = list(dict.fromkeys(names)) or variant_names(folders)
    _load(chosen, folders)
    from harness import contract

    found: dict[str, tuple[CheckOutcome, ...]] = {}
    for name in chosen:
        outcomes = []
        for outcome in contract.run(name, folders):
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(name, outcome)
        found[name] = tuple(outcomes)
    return CheckResult(found)


def _load(names: Sequence[str], folders: Sequence[Path]) -> None:
    """Load every variant before any check runs. Raises: UserError with all that cannot be loaded."""
    for name in names:
        variant_file(name, folders)  # an unknown name is reported before anything runs
    faults: list[Fault] = []
    for name in names:
        try:
            load_variant(name, folders)
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(faults)
