"""`check` reports what it ran on: refused defaults, missing oracles, extents; variant files in any place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import contract, registry
from harness.cli import main
from harness.contract import EVEN, SMALL, WIDER
from harness.registry import OUR_VARIANTS

SPACE = (OUR_VARIANTS / "spatial_only.py").read_text(encoding="utf-8")
DOT_PRODUCT = (OUR_VARIANTS / "factorised_dot_product.py").read_text(encoding="utf-8")
Check = Callable[[str, str], tuple[int, str]]


def refusing(condition: str) -> str:
    """`spatial_only` that refuses the geometries for which the condition holds."""
    return SPACE + (
        "\n    def validate(self):\n"
        "        yield from super().validate()\n"
        f"        if {condition}:\n"
        '            yield "model.num_frames", f"{self.trunk.num_frames} given, which I do not take"\n'
    )


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Writes a variant file, checks it, and returns exit code and output."""

    def run(name: str, text: str) -> tuple[int, str]:
        (tmp_path / f"{name}.py").write_text(text)
        code = main(["check", name, "--variants", str(tmp_path)])
        return code, capsys.readouterr().out

    return run


def test_a_default_that_is_refused_everywhere_fails(check: Check) -> None:
    code, said = check("check_nowhere", refusing("True"))
    assert code == 1
    assert re.search(r"cases +FAIL 3 of 3 refused", said)
    assert "5 frames of 2 x 3 patches: refused: model.num_frames: 5 given, which I do not take" in said
    assert "0 of 1 variants keep the contract" in said


@pytest.mark.parametrize(
    ("name", "condition", "trunk"),
    [
        ("check_wider", "self.trunk.num_frames == 5", WIDER),
        ("check_even", "self.trunk.num_frames % 2 or self.trunk.height % 2 or self.trunk.width % 2", EVEN),
    ],
)
def test_another_geometry_is_tried(
    name: str, condition: str, trunk: contract.TrunkGeometry, check: Check, tmp_path: Path
) -> None:
    code, said = check(name, refusing(condition))
    assert code == 0, said
    default = contract.cases(name, [tmp_path])[0]
    assert default.is_default
    assert default.trunk == trunk != SMALL
    assert re.search(r"description +ok +1 of \d+ cases", said)


def test_what_is_refused_is_counted(check: Check) -> None:
    code, said = check("check_tokens", SPACE.replace("cannot_carry = {}", ""))
    assert code == 0, said
    assert re.search(r"cases +ok +3 of 6 refused", said)  # a masked variant carries registers
    reason = r"global_tokens.summary: 1 given, but masked attention over the tokens of a row has no summaries"
    assert re.search(rf"^    summary=1; summary=1,registers=1: refused: {reason}; set it to 0$", said, re.MULTILINE)
    assert re.search(r"^    summary=2,summary_mixed=True: refused: global_tokens.summary: 2 given", said, re.MULTILINE)


def test_a_variant_without_an_oracle_fails(check: Check) -> None:
    text = re.sub(r"    def reference_attention.*?(?=\n    def )", "", DOT_PRODUCT, flags=re.DOTALL)
    assert text != DOT_PRODUCT
    code, said = check("check_no_reference", text)
    assert code == 1
    assert re.search(r"reference +FAIL not declared", said)
    assert "missing: reference_attention or reference_block or reference" in said


@pytest.mark.parametrize("place", ["__init__", "validate"])
def test_code_that_fails_before_any_check_is_a_failure(place: str, check: Check) -> None:
    arguments = "self, config, trunk" if place == "__init__" else "self"
    code, said = check(f"check_crash{place}", SPACE + f"\n    def {place}({arguments}):\n        return iter(1 / 0)\n")
    assert code == 1
    assert re.search(r"cases +FAIL 0 of 1 refused", said)
    assert "default: cannot be set up: ZeroDivisionError" in said


def test_extents_are_those_that_applied(check: Check) -> None:
    code, said = check("check_extent", SPACE)
    assert code == 0, said
    assert re.search(r"description +ok +1 of 6 cases", said)
    assert re.search(r"compile +ok +1 of 6 cases", said)
    assert re.search(r"influence +ok +6 of 6 cases", said)
    assert re.search(r"degenerate cases +ok +none declared", said)


def test_a_degenerate_case_that_is_never_compared_fails(check: Check) -> None:
    declared = "        yield DegenerateCase('two frames', equals='joint', model={'num_frames': 2})\n"
    text = refusing("self.trunk.num_frames == 2").replace("harness.api import ", "harness.api import DegenerateCase, ")
    code, said = check("check_never", text + "\n    def degenerate_cases(self):\n" + declared)
    assert code == 1
    assert re.search(r"degenerate cases +FAIL none of the declared ones can be built here", said)


@pytest.mark.parametrize("name", ["variants", "other"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "check_folder.py").write_text(SPACE)
    assert main(["check", "check_folder", "--variants", str(tmp_path / name)]) == 0, capsys.readouterr().out


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that offers its module `scheme` as the variant `check_offered`."""
    (tmp_path / "check_package").mkdir()
    (tmp_path / "check_package" / "__init__.py").touch()
    (tmp_path / "check_package" / "scheme.py").write_text(SPACE)
    info = tmp_path / "check_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: check-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.variants]\ncheck_offered = check_package.scheme\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.mark.usefixtures("package")
def test_a_variant_of_a_package_keeps_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "check_offered"]) == 0, capsys.readouterr().out
