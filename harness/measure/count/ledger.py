"""The ledger of a count: every operator of a trace is either counted, zero or uncounted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

#: products of two computed tensors, fused or not: attention scores and weighted sums
ATTENTION_KINDS = ("attention", "matmul")


@dataclass(frozen=True)
class OpCount:
    """One operator: its calls and its multiply-accumulates, None if they are unknown.

    `kind` is the kind of product (attention, linear, matmul, convolution), or `zero`, or `uncounted`.
    """

    op: str
    kind: str
    calls: int
    macs: int | None


@dataclass(frozen=True)
class Ledger:
    """Operators by module, including its submodules; the whole model is the module named ''."""

    modules: Mapping[str, tuple[OpCount, ...]]

    @property
    def ops(self) -> tuple[OpCount, ...]:
        """All operators: most expensive first, then uncounted ones, then those without a product."""
        return tuple(sorted(self.modules[""], key=lambda row: (-(row.macs or 0), row.kind != "uncounted", row.op)))

    def module_total(self, module: str) -> int:
        """Return the multiply-accumulates of one module, including its submodules."""
        return sum(row.macs or 0 for row in self.modules[module])

    @property
    def total(self) -> int:
        """Multiply-accumulates of the whole model."""
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
        """Operator without a product -> calls."""
        return {row.op: row.calls for row in self.ops if row.kind == "zero"}

    @property
    def uncounted_ops(self) -> dict[str, int]:
        """Operator of unknown cost -> calls."""
        return {row.op: row.calls for row in self.ops if row.kind == "uncounted"}

    def below(self, prefix: str) -> Ledger:
        """Return the ledger of one module as if it were the whole model."""
        start = f"{prefix}."
        inside = {name.removeprefix(start): rows for name, rows in self.modules.items() if name.startswith(start)}
        # operators of the wrapper itself stay in the total, so that none is lost
        return Ledger({"": self.modules[""], **inside})
