"""The ledger of a count: every operator that was met is counted, truly zero, or uncounted; nothing falls between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

#: products of two computed tensors: scores and weighted sums, whether a fused kernel does them or not
ATTENTION_KINDS = ("attention", "matmul")


@dataclass(frozen=True)
class OpCount:
    """One operator: its calls and its multiply-accumulates, None where nobody knows them.

    `kind` says which product it is (attention, linear, matmul, convolution), or `zero`, or `uncounted`.
    """

    op: str
    kind: str
    calls: int
    macs: int | None


@dataclass(frozen=True)
class Ledger:
    """Operators by module, what is below a module included; the whole is the module named ''."""

    modules: Mapping[str, tuple[OpCount, ...]]

    @property
    def ops(self) -> tuple[OpCount, ...]:
        """Every operator that was met anywhere, the dearest first, then the uncounted, then the free ones."""
        return tuple(sorted(self.modules[""], key=lambda row: (-(row.macs or 0), row.kind != "uncounted", row.op)))

    def module_total(self, module: str) -> int:
        """Multiply-accumulates of one module, what is below it included."""
        return sum(row.macs or 0 for row in self.modules[module])

    @property
    def total(self) -> int:
        """Multiply-accumulates of the whole."""
        return self.module_total("")

    @property
    def macs_by_kind(self) -> dict[str, int]:
        """Multiply-accumulates of each kind of product."""
        by_kind: Counter[str] = Counter()
        for row in self.modules[""]:
            if row.macs:
                by_kind[row.kind] += row.macs
        return dict(by_kind)

    @property
    def attention_macs(self) -> int:
        """Multiply-accumulates of the products of two computed tensors."""
        return sum(self.macs_by_kind.get(kind, 0) for kind in ATTENTION_KINDS)

    @property
    def counted_ops(self) -> dict[str, int]:
        """Operator -> multiply-accumulates."""
        by_op: Counter[str] = Counter()
        for row in self.ops:
            if row.kind not in ("zero", "uncounted"):
                by_op[row.op] += row.macs or 0
        return dict(by_op)

    @property
    def zero_ops(self) -> dict[str, int]:
        """Operators without a product -> calls."""
        return {row.op: row.calls for row in self.ops if row.kind == "zero"}

    @property
    def uncounted_ops(self) -> dict[str, int]:
        """Operators of unknown cost -> calls."""
        return {row.op: row.calls for row in self.ops if row.kind == "uncounted"}

    def below(self, prefix: str) -> Ledger:
        """The ledger of one module as a whole of its own."""
        start = f"{prefix}."
        inside = {name.removeprefix(start): rows for name, rows in self.modules.items() if name.startswith(start)}
        # what the wrapper itself does is part of the whole too, so that nothing it meets is lost
        return Ledger({"": self.modules[""], **inside})
