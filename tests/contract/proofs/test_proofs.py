"""What proves a variant: its file and the code that it stands on, as loaded, unless a check of it has failed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import code_identity as identity
from harness import contract, proofs
from harness.contract import Broken, Case
from harness.contract.shipped import shipped_files
from harness.registry import OUR_VARIANTS, load_variant, variant_file
from harness.registry.proven import mark_of

SPACE = (OUR_VARIANTS / "spatial_only.py").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def own_proofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pass and no failure is kept at the start; hashes of planted code do not outlive the test."""
    monkeypatch.setenv(proofs.FOLDER, str(tmp_path / "proofs"))
    caches = (proofs.proof_hash, identity.code_identity, identity.rooms_digest)
    yield
    for cached in caches:
        cached.cache_clear()


def test_shipped_variants_are_proven_without_any_check() -> None:
    assert [mark_of(name) for name in shipped_files()] == [""] * 15


@pytest.mark.parametrize("room", proofs.FOUNDATION)
def test_a_broken_foundation_proves_nothing(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One character in any file that the contract depends on, and no shipped variant is proven."""
    package = tmp_path / "harness"
    shutil.copytree(identity.HARNESS, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(identity, "HARNESS", package)
    for cached in (proofs.proof_hash, identity.code_identity, identity.rooms_digest):
        cached.cache_clear()
    assert mark_of("joint") == ""
    file = package / room if room.endswith(".py") else sorted((package / room).rglob("*.py"))[-1]
    file.write_text(file.read_text(encoding="utf-8") + "#\n", encoding="utf-8")
    for cached in (proofs.proof_hash, identity.code_identity, identity.rooms_digest):
        cached.cache_clear()
    assert mark_of("joint") == mark_of("pooled") == proofs.UNPROVEN
    proofs.note(identity.code_identity(variant_file("joint")))  # as `check joint` does
    assert mark_of("joint") == ""
    assert mark_of("pooled") == proofs.UNPROVEN


def test_the_proof_is_of_the_file_that_was_loaded(tmp_path: Path) -> None:
    file = tmp_path / "spatial_only_copy.py"
    file.write_text(SPACE, encoding="utf-8")
    load_variant("spatial_only_copy", [tmp_path])
    before = proofs.proof_hash(file), identity.code_identity(file)
    file.write_text(SPACE + "# edited while a trial was training\n", encoding="utf-8")
    assert (proofs.proof_hash(file), identity.code_identity(file)) == before


def test_a_failed_check_outweighs_a_proof_until_it_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(case: Case) -> None:
        raise Broken("planted")

    code = identity.code_identity(variant_file("joint"))
    monkeypatch.setattr(contract, "CHECKS", {"shapes": failing})
    outcomes = list(contract.run("joint"))
    assert outcomes[-1].check == "proof"
    assert not outcomes[-1].num_applied
    assert mark_of("joint") == proofs.UNPROVEN
    assert proofs.failures() == [code]
    for was_proven in (True, None, False):  # results of earlier trials too
        assert proofs.unproven_mark(code, was_proven) == proofs.UNPROVEN
        assert proofs.unproven_mark(f"another+{code}", was_proven) == proofs.UNPROVEN
    assert proofs.unproven_mark("another", True) == ""
    monkeypatch.setattr(contract, "CHECKS", {"shapes": contract.checks.check_shapes})
    assert list(contract.run("joint"))[-1].num_applied
    assert mark_of("joint") == ""
    assert proofs.unproven_mark(code, True) == proofs.unproven_mark(code, False) == ""
    assert proofs.failures() == []
