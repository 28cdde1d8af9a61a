"""write_all: renews when inputs change, is quick and light when they do not, leaves no halves and no leftovers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness import reports
from harness.errors import UserError
from harness.store import TrialStatus, exclusive_lock
from harness.store.load import LoadedRun, load
from tests.reports.factory import edit, save, saved_trial, window_run


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the reports by one small one; the list grows with each time it is written."""
    calls: list[str] = []
    module = ModuleType("quick")

    def write(run: LoadedRun, folder: Path) -> list[Path]:
        calls.append(run.plan.sweep)
        path = folder / ("big.txt" if len(run.records) > 19 else "small.txt")
        path.write_text(f"{len(run.records)}")
        return [path]

    monkeypatch.setattr(module, "write", write, raising=False)
    monkeypatch.setattr(reports, "modules", lambda: [module])
    return calls


def test_reports_are_found_by_their_files() -> None:
    assert [module.__name__ for module in reports.modules()] == [
        "harness.reports.accuracy_axis", "harness.reports.accuracy_cost", "harness.reports.html", "harness.reports.table", "harness.reports.trials",
        "harness.reports.tuning",
    ]  # fmt: skip


def test_a_whole_report(tmp_path: Path) -> None:
    folder = save(window_run(num_failed=1), tmp_path / "a run with spaces")
    paths = reports.write_all(folder)
    assert {path.parent for path in paths} == {folder / "report"}
    assert {path.suffix for path in paths} == {".png", ".svg", ".html", ".csv", ".md", ".tex"}
    assert all(path.stat().st_size > 500 for path in paths)
    assert {path.name for path in (folder / "report").iterdir()} == {path.name for path in paths} | {".inputs.sha256"}


def test_unchanged_inputs_are_not_reported_again(tmp_path: Path, quick: list[str]) -> None:
    folder = save(window_run(), tmp_path)
    first = reports.write_all(folder)
    assert reports.write_all(folder) == first
    assert len(quick) == 1
    reports.write_all(folder, force=True)
    assert len(quick) == 2


@pytest.mark.parametrize("change", ["record", "status", "plan", "lost file"])
def test_any_changed_input_renews(tmp_path: Path, quick: list[str], change: str) -> None:
    folder = save(window_run(), tmp_path)
    (path,) = reports.write_all(folder)
    trial = saved_trial(folder)
    target = {"record": trial.record_file, "status": trial.status_file, "plan": folder / "plan.json"}
    if change == "lost file":
        path.unlink()
    else:
        edit(target[change], **({"message": "other"} if change == "status" else {}))
    assert reports.write_all(folder) == [path]
    assert path.is_file()
    assert len(quick) == 2


def test_a_trial_that_lost_its_worker_renews_the_report(tmp_path: Path, quick: list[str]) -> None:
    """status.json says "running" before and after; only the lock of the worker is gone."""
    folder = save(window_run(), tmp_path)
    trial = saved_trial(folder)
    trial.record_file.unlink()
    trial.write_status(TrialStatus(status="running", stage="train", step=7))
    with exclusive_lock(trial.lock_file):
        reports.write_all(folder)
        assert load(folder).statuses[trial.trial_id][0] == "running"
        reports.write_all(folder)
        assert len(quick) == 1
    reports.write_all(folder)
    assert len(quick) == 2
    assert load(folder).statuses[trial.trial_id][0] == "lost"


def test_a_draft_that_passes_its_check_renews_the_report(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof of a draft lies outside the run; the report says "unproven" until there is one."""
    monkeypatch.setenv("HARNESS_PROOFS", str(tmp_path / "proofs"))
    folder = save(window_run(), tmp_path / "run")
    trial = saved_trial(folder)
    record = trial.record()
    assert record is not None
    trial.write_record(record.model_copy(update={"proven": False, "code": "abc"}))
    for _ in range(2):
        reports.write_all(folder)
    assert len(quick) == 1
    (tmp_path / "proofs").mkdir()
    (tmp_path / "proofs" / "abc").touch()
    reports.write_all(folder)
    assert len(quick) == 2


def test_files_of_an_earlier_report_go_and_strangers_stay(tmp_path: Path, quick: list[str]) -> None:
    folder = save(window_run(), tmp_path)
    reports.write_all(folder)
    stranger = folder / "report" / "my_notes.md"
    stranger.write_text("keep")
    saved_trial(folder).record_file.unlink()
    reports.write_all(folder)
    names = {path.name for path in (folder / "report").iterdir()}
    assert names == {"small.txt", "my_notes.md", ".inputs.sha256"}


def test_a_report_that_fails_leaves_the_last_one_whole(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(window_run(), tmp_path)
    (path,) = reports.write_all(folder)
    before = path.read_bytes()
    broken = ModuleType("broken")
    monkeypatch.setattr(broken, "write", lambda run, target: [][0], raising=False)
    monkeypatch.setattr(reports, "modules", lambda: [broken])
    with pytest.raises(IndexError):
        reports.write_all(folder, force=True)
    assert path.read_bytes() == before
    assert {p.name for p in (folder / "report").iterdir()} == {path.name, ".inputs.sha256"}


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run is there"):
        reports.write_all(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_report_imports_nothing_heavy_and_no_report_imports_torch(tmp_path: Path) -> None:
    folder = save(window_run(), tmp_path)
    code = "import sys, pathlib; from harness import reports; reports.write_all(pathlib.Path(sys.argv[1])); print(*sys.modules)"
    loaded = []
    for _ in range(2):
        command = [sys.executable, "-c", code, str(folder)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(reports.__file__).parents[1]
        )
        loaded.append(set(done.stdout.split()))
    assert "matplotlib" in loaded[0]
    assert not loaded[0] & {"torch", "variants"}
    assert not loaded[1] & {"matplotlib", "pandas", "numpy", "scipy", "jinja2", "torch"}
