"""The optional block `weights`: omitted, inherited, varied, and identified by content, never by path."""

from __future__ import annotations

import hashlib
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Fault, UserError
from harness.sweep import weights_source
from harness.sweep.plan import Plan
from harness.sweep.schema import TrialConfig

MakePlan = Callable[..., Plan]
Faults = Callable[..., list[Fault]]
HEAD = "question: q\ndata: moving_shapes\nvariant: window\n"


def write(name: str, content: bytes = b"weights") -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content)
    return name


def block(made: Plan, row: int = 0) -> Any:
    trial = next(trial for trial in made.trials if trial.row_id == made.rows[row].row_id)
    assert TrialConfig(**trial.config).model_dump(mode="json") == trial.config
    return trial.config["weights"]


def trial_id(made: Plan) -> str:
    return made.trials[0].trial_id


def test_without_the_block_and_with_null_is_one_trial(plan: MakePlan) -> None:
    assert block(plan(HEAD)) is None
    assert trial_id(plan(HEAD)) == trial_id(plan(HEAD + "weights: null\n"))


def test_the_block_is_filled_in_with_the_content_of_the_file(plan: MakePlan) -> None:
    made = plan(HEAD + f"weights: {{file: {write('a.npz')}}}\n")
    assert block(made)["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert block(made)["classifier"] == "drop"


def test_the_identity_is_the_content_not_the_path(plan: MakePlan) -> None:
    text = HEAD + "weights: {file: a.npz}\n"
    write("a.npz")
    first = trial_id(plan(text))
    shutil.copy("a.npz", write("sub folder/b.npz"))
    assert trial_id(plan(text, "weights.file=sub folder/b.npz")) == first
    assert trial_id(plan(text, "weights.file=" + str(Path("a.npz").resolve()))) == first
    assert trial_id(plan(text, "weights.classifier=keep")) != first
    write("a.npz", b"other weights")
    assert len({first, trial_id(plan(text)), trial_id(plan(HEAD))}) == 3


def test_a_base_sets_the_block_and_null_removes_it(plan: MakePlan) -> None:
    write("a.npz")
    Path("r.yaml").write_text("weights: {file: a.npz, classifier: keep}\n")
    text = HEAD + "base: r.yaml\n"
    assert block(plan(text))["classifier"] == "keep"
    assert block(plan(text + "weights: {classifier: drop}\n"))["file"] == "a.npz"
    assert block(plan(text + "weights: null\n")) is None
    assert block(plan(text, "weights=null")) is None
    Path("r.yaml").write_text("weights: null\n")
    assert block(plan(text + "weights: {file: a.npz}\n"))["file"] == "a.npz"


def test_with_and_without_is_an_axis(plan: MakePlan) -> None:
    write("a.npz")
    made = plan(HEAD + "vary: [{grid: {weights: [null, {file: a.npz}]}}]\n")
    assert [block(made, row) is None for row in (0, 1)] == [True, False]
    assert made.axes == ["weights"]
    assert [row.values["weights"] for row in made.rows] == [None, "a.npz"]
    assert made.rows[1].label == "weights = a.npz"


def test_varied_fields_distinguish_rows(plan: MakePlan) -> None:
    write("a.npz")
    text = HEAD + "weights: {file: a.npz}\nvary: [{grid: {weights.tubelet_inflation: [central_frame, average]}}]\n"
    made = plan(text + "baseline: {weights.tubelet_inflation: average}\n")
    assert made.baseline_row == made.rows[1].row_id
    mixed = plan(HEAD + "vary: [{list: [{weights: null}, {weights: {file: a.npz}}, {weights.file: a.npz, "
                        "weights.classifier: keep}]}]\n")  # fmt: skip
    assert len({row.label for row in mixed.rows}) == 3


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("weights: {file: b.npz}\n", "4:17", "weights.file: b.npz: no such file"),
        ("weights: {file: .}\n", "4:17", "is a folder"),
        ("weights: {layout: xvit}\n", "4:1", "weights.file: missing"),
        ("weights: a.npz\n", "4:10", "expected a mapping, got text 'a.npz'"),
        ("weights: {file: a.npz, layuot: xvit}\n", "4:24", "Did you mean layout?"),
        (f"weights: {{file: a.npz, sha256: {'0' * 64}}}\n", "4:17", "it has changed"),
        ("vary:\n- grid: {weights: [null, {file: b.npz}]}\n", "5:33", "vary.weights.file: b.npz: no such file"),
        ("weights: {file: hf://name}\n", "4:17", "write hf://org/name"),
    ],
)
def test_faults_have_their_place(faults: Faults, text: str, place: str, message: str) -> None:
    write("a.npz")
    (found,) = faults(HEAD + text)
    assert message in str(found)
    assert found.where == f"q.yaml:{place}"


def test_an_override_names_itself(faults: Faults) -> None:
    (found,) = faults(HEAD, "weights.file=b.npz")
    assert str(found).startswith("--set weights.file=b.npz  weights.file: b.npz: no such file")


def test_the_hub_needs_its_client(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    (found,) = faults(HEAD + "weights: {file: hf://org/name}\n")
    assert "needs the optional package huggingface_hub" in found.message


def test_the_hubs_client_receives_repository_file_and_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    asked: list[Any] = []

    def download(repository: str, name: str, revision: str | None) -> str:
        asked.append((repository, name, revision))
        if repository == "org/gone":
            raise OSError("404")
        return str(file)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(hf_hub_download=download))
    assert weights_source.locate("hf://org/name") == file
    assert weights_source.locate("hf://org/name@v1/sub/w.bin") == file
    assert asked == [("org/name", "model.safetensors", None), ("org/name", "sub/w.bin", "v1")]
    with pytest.raises(UserError, match=r"hf://org/gone: the download from the hub failed \(OSError: 404\)"):
        weights_source.locate("hf://org/gone")


def test_a_file_is_hashed_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    file.write_bytes(b"one")
    assert weights_source.sha256(file) == weights_source.sha256(file) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"three")
    assert weights_source.sha256(file) == hashlib.sha256(b"three").hexdigest()
