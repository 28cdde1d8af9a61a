"""A draft is swept and counted, and every table marks what is not proven until `check` passes for that code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import proofs
from harness.cli import main
from harness.code_identity import code_identity
from harness.contract.shipped import shipped_files, written
from harness.proofs.declarations import missing
from harness.proofs.shipped_hashes import PROOFS
from harness.record import Record
from harness.registry import OUR_VARIANTS, load_variant, variant_names
from harness.store.load import read_record
from harness.store.marks import unproven_marks
from tests.e2e import harness

DRAFT = '''"""Only the mean over frames is exchanged.

Source: planted.
"""
from harness.api import Block, SequenceEncoder, Variant


class Sketch(Variant):
    class_token = "none"
    encoder_type = SequenceEncoder

    def build_block(self, layer):
        return Block(self.trunk, layer)
'''
SWEEP = """question: Is it worth the proof?
data: {name: moving_shapes, task: motion}
model: {size: demo, depth: 1, num_frames: 4, crop_size: 12, patch_size: 6}
variant: joint
readout: {name: mean_tokens}
train: {num_steps: 2, batch_size: 4}
measure: {min_samples: 3, max_seconds: 0.05, batch_size: 2}
vary:
  - grid: {variant: [sketch, copied, joint]}
seeds: 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A draft, a complete variant that was never checked, and a sweep of both that has run."""
    place = tmp_path_factory.mktemp("drafts")
    (place / "ideas").mkdir()
    (place / "ideas/sketch.py").write_text(DRAFT, encoding="utf-8")
    shipped = (OUR_VARIANTS / "spatial_only.py").read_text(encoding="utf-8")
    # another file for the identity of its code: other tests may have checked the shipped one
    (place / "ideas/copied.py").write_text(f"{shipped}# never checked\n", encoding="utf-8")
    (place / "q.yaml").write_text(SWEEP, encoding="utf-8")
    done = harness("sweep", "q.yaml", "--variants", "ideas", "--runs", "runs", cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def records(folder: Path) -> dict[str, Record]:
    """Name of the variant -> record of its trial."""
    found = [read_record(path.parent) for path in folder.glob("runs/q/trials/*/record.json")]
    return {record.config["variant"]["name"]: record for record in found if record}


def unproven(folder: Path) -> set[str]:
    return {name for name, record in records(folder).items() if unproven_marks(record)}


def marked(folder: Path) -> dict[str, bool]:
    """Report -> whether it says that something is unproven, after it was written again."""
    assert main(["report", str(folder / "runs/q")]) == 0
    files = ("table.md", "table.csv", "table.tex", "index.html")
    return {name: "unproven: " in (folder / "runs/q/report" / name).read_text() for name in files}


def test_the_records_say_what_was_proven(folder: Path) -> None:
    assert {name: record.proven for name, record in records(folder).items()} == {
        "sketch": False, "copied": False, "joint": True,
    }  # fmt: skip
    macs = records(folder)["sketch"].costs.macs
    assert (macs.status, macs.closed_form_macs, macs.useful_macs) == ("exact", None, None)


def test_the_mark_goes_only_when_check_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ideas = str(folder / "ideas")
    assert all(marked(folder).values())
    trials = (folder / "runs/q/report/trials.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in trials if "unproven: " in line] == ["sketch", "copied"]
    assert main(["check", "sketch", "--variants", ideas]) == 1
    assert all(marked(folder).values())
    assert unproven(folder) == {"sketch", "copied"}
    capsys.readouterr()
    assert main(["check", "copied", "--variants", ideas]) == 0
    assert "proof" in capsys.readouterr().out
    assert unproven(folder) == {"sketch"}
    # a change of the file is other code
    (folder / "ideas/other.py").write_text((folder / "ideas/copied.py").read_text() + "\n", encoding="utf-8")
    changed = folder / "ideas/other.py"
    assert not proofs.is_proven(changed, code_identity(changed))


def test_check_names_what_a_draft_lacks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "sketch", "--variants", str(folder / "ideas")]) == 1
    said = capsys.readouterr().out
    assert "missing: block_macs or macs" in said
    assert "missing: block_influence or influence" in said
    assert "missing: reference_attention or reference_block or reference" in said
    failed = [line.split()[1] for line in said.splitlines() if " FAIL " in line]
    assert failed == ["reference", "influence", "macs"]


def test_cost_marks_a_draft(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["cost", "sketch", "--variants", str(folder / "ideas")]
    assert main(arguments) == 0
    assert "exact, unproven" in capsys.readouterr().out
    assert main([*arguments, "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["unproven"], row["status"], row["closed_form_macs"]) == (True, "exact", None)
    assert main(["cost", "joint"]) == 0
    assert "unproven" not in capsys.readouterr().out


def test_a_pass_that_cannot_be_kept_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(proofs.FOLDER, str(tmp_path / "file" / "proofs"))
    assert main(["check", "copied", "--variants", str(folder / "ideas")]) == 0
    assert f"set {proofs.FOLDER} to a writable folder" in capsys.readouterr().out


def test_a_failure_drops_an_earlier_proof(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = code_identity(folder / "ideas/sketch.py")
    proofs.note(code)
    assert proofs.has_passed(code)
    assert not proofs.has_passed(f"{code}+another")
    assert main(["check", "sketch", "--variants", str(folder / "ideas")]) == 1
    assert not proofs.has_passed(code)
    assert proofs.has_failed(code)
    assert "none: results are marked unproven" in capsys.readouterr().out


@pytest.mark.parametrize("name", variant_names())
def test_a_shipped_variant_lacks_nothing(name: str) -> None:
    assert missing(load_variant(name)) == {}


def test_the_shipped_proofs_are_those_of_the_files() -> None:
    found = {name: proofs.proof_hash(file) for name, file in shipped_files().items()}
    assert found == PROOFS, "run `python -m harness.contract.shipped`"
    assert Path(str(proofs.__file__)).with_name("shipped_hashes.py").read_text() == written(PROOFS)
