"""`harness.load` and `harness.report`: the results of a run as frames, tables and figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError, did_you_mean
from harness.python_api.plans import PathLike, SweepRun
from harness.store import Store
from harness.store.load import LoadedRun
from harness.store.load import load as load_run
from harness.text.clean import cleaned

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class ResultTable:
    """The table of a run. A notebook shows it, `print` gives Markdown."""

    markdown: str
    latex: str

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


@dataclass(frozen=True, repr=False)
class Plot:
    """A figure with its caption. A notebook shows it; `figure` is matplotlib's, to change or to save."""

    name: str
    caption: str
    figure: Figure

    def save(self, path: PathLike) -> Path:
        """Write the figure; the ending of the path (png, svg, pdf) decides the format.

        Raises:
            UserError: no figure can be written there, or not in this format.
        """
        kinds = self.figure.canvas.get_supported_filetypes()
        ending = Path(path).suffix.removeprefix(".").lower() or "png"
        if ending not in kinds:
            hint = did_you_mean(ending, list(kinds))
            raise UserError(f"{path}: a figure cannot have the format {ending}. Formats: {', '.join(kinds)}.{hint}")
        try:
            self.figure.savefig(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}). Choose another place.") from error
        return Path(path)

    def __repr__(self) -> str:
        return f"{self.name}: {self.caption}"

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        self.figure.savefig(content, format="png")
        return content.getvalue()


@dataclass(frozen=True, repr=False)
class Results:
    """The results of a run at the time of `harness.load`; unfinished trials have a status and no numbers."""

    path: Path
    run: LoadedRun

    def frame(self) -> pd.DataFrame:
        """Return one line for each trial; accuracies as fractions, times in ms, memory in bytes, NaN if unknown."""
        from harness.reports.trials import frame

        return frame(self.run)

    def rows(self) -> pd.DataFrame:
        """Return one line for each row: means over seeds with 95 % intervals, differences to the baseline, costs."""
        import pandas as pd

        from harness.reports.table import row_numbers

        return pd.DataFrame(row_numbers(self.run))

    def table(self) -> ResultTable:
        """Return the table of the report, with its marks and notes."""
        from harness.reports import table
        from harness.reports.common.table_data import build

        content = build(self.run)
        return ResultTable(table.markdown(self.run, content), table.latex(self.run, content))

    def plot(self, x: str = "macs", label: str | None = None) -> Plot:
        """Plot accuracy against `x`: a cost (macs, memory, latency), the key of any quantity, or a varied field.

        `label`: whose accuracy; default: action, else verb, else the first.

        Raises:
            UserError: `x` or `label` is unknown, or no finished row has both numbers yet.
        """
        from harness.reports.plot import accuracy_against

        page = accuracy_against(self.run, x, label)
        return Plot(page.name, page.caption, page.figure)

    @cached_property
    def _statuses(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for status, _ in self.run.statuses.values():
            found[status] = found.get(status, 0) + 1
        return found

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {status}" for status, number in self._statuses.items()) or "no trial yet"
        return f"{self.path}: {self.run.plan.question} {len(self.run.plan.rows)} rows; trials: {counts}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>"


def load(run: PathLike | SweepRun) -> Results:
    """Read the results of a run: its folder, or what `harness.run` returned. Unfinished trials are part of it.

    Raises:
        UserError: the folder is no run, or one of its files cannot be read.
    """
    path = _path(run)
    return Results(path, cleaned(load_run(path)))


def report(run: PathLike | SweepRun) -> list[Path]:
    """Write the report of a run (tables, figures, a page) to `RUN/report/` again, and return its files.

    Raises:
        UserError: the folder is no run, or one of its files cannot be read.
    """
    from harness.reports import write_all

    path = _path(run)
    return write_all(path, force=True)


def _path(run: PathLike | SweepRun) -> Path:
    """The folder of a run. Raises: UserError where it holds none."""
    path = run.path if isinstance(run, SweepRun) else Path(run)
    Store(path).plan()
    return path
