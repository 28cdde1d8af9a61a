"""The identity covers what a variant imports, and nothing else; what no identity can cover is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import registry
from harness.code_identity import code_identity, distributions
from harness.code_identity.closure import closure_of
from harness.errors import UserError
from harness.registry import load_variant, packages_of, variant_file, variant_names

HEAD = '"""A variant for tests.\n\nSource: this test.\n"""\nfrom harness.api import Variant\n'
CLASS = "\n\nclass Idea(Variant):\n    factor = {factor}\n"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write `idea.py`, which begins with some imports, and other files of its folder; return the folder."""

    def make(imports: str, factor: str = "1", **others: str) -> Path:
        folder = tmp_path / "ideas"
        folder.mkdir(exist_ok=True)
        (folder / "idea.py").write_text(HEAD + imports + CLASS.format(factor=factor))
        for name, text in others.items():
            file = folder / f"{name.replace('__in__', '/')}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        code_identity.cache_clear()
        return folder

    yield make
    code_identity.cache_clear()


def identity(folder: Path) -> str:
    code_identity.cache_clear()
    return code_identity(folder / "idea.py")


def factor(folder: Path) -> object:
    registry.forget_changed()
    return load_variant("idea", [folder]).factor  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "imports",
    [
        "from .helper import F", "from . import helper; F = helper.F", "from helper import F", "import helper; F = helper.F",
        "import helper as h; F = h.F", "from sub.inner import F", "import sub.inner; F = sub.inner.F",
        "from .sub import inner; F = inner.F", "from second import F", "from importlib import import_module as load\n"
        "import importlib\nF = importlib.import_module('helper').F", "import sys, os\nsys.path.insert(0, "
        "os.path.dirname(__file__))\nfrom helper import F", "import importlib\n"
        "F = importlib.import_module('.hel' + 'per', __package__).F",
    ],
)  # fmt: skip
def test_a_helper_belongs_to_the_identity_and_is_read_again(write: Write, imports: str) -> None:
    others = {"second": "from helper import F\n", "sub__in____init__": "", "sub__in__inner": "from ..helper import F\n"}
    folder = write(imports, "F", helper="F = 1\n", **others)
    before = identity(folder)
    assert factor(folder) == 1
    (folder / "helper.py").write_text("F = 22\n")
    assert identity(folder) != before
    assert factor(folder) == 22


def test_files_that_are_not_imported_change_nothing(write: Write) -> None:
    folder = write("import helper", helper="F = 1\n", unrelated="F = 1\n")
    before = identity(folder)
    (folder / "unrelated.py").write_text("import torch, scipy\n")
    (folder / "another_variant.py").write_text(HEAD)
    assert identity(folder) == before


def test_a_variant_that_reads_files_has_the_identity_of_its_folder(write: Write) -> None:
    folder = write("from pathlib import Path\nTABLE = Path(__file__).with_name('table.json')")
    (folder / "table.json").write_text("[1]")
    before = identity(folder)
    (folder / "table.json").write_text("[2]")
    assert identity(folder) != before


def test_two_folders_have_helpers_of_one_name(write: Write, tmp_path: Path) -> None:
    first = write("from helper import F", "F", helper="F = 1\n")
    first.rename(tmp_path / "first")
    second = write("from helper import F", "F", helper="F = 2\n")
    assert (factor(tmp_path / "first"), factor(second), factor(tmp_path / "first")) == (1, 2, 1)


def test_the_place_of_a_folder_is_no_part_of_the_identity(write: Write, tmp_path: Path) -> None:
    folder = write("from helper import F", helper="F = 1\n")
    before = identity(folder)
    assert identity(folder.rename(tmp_path / "elsewhere")) == before


def test_versions_of_other_packages_belong_to_the_identity(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write("import scipy.stats, torch, einops, math")
    found = closure_of(folder / "idea.py")
    assert {name.partition("==")[0] for name in found.distributions} == {"scipy"}
    before = identity(folder)
    monkeypatch.setattr("importlib.metadata.Distribution.version", "0.0.1")
    distributions.distribution_of.cache_clear()
    assert identity(folder) != before


@pytest.mark.parametrize(
    ("imports", "message"),
    [
        ("from harness.nn.tokens import Tokens", r"idea\.py:6: harness\.nn\.tokens\.Tokens is private to the harness"),
        ("import harness", "harness is private"),
        ("import harness.api\nx = harness.nn", r"idea\.py:7: harness\.nn is private"),
        ("def f():\n    from harness import quantities", r"idea\.py:7: harness\.quantities is private"),
        ("import importlib\nimportlib.import_module('harness.store')", r"idea\.py:7: harness\.store is private"),
        ("import loose_module", r"loose_module comes from .*loose_module\.py, which belongs to no installed package"),
        ("from helper import F", r"helper\.py:1: loose_module comes from"),
        ("import importlib\nimportlib.import_module('loose_' + 'module')", r"imports loose_module \(.*\): of no installed"),
        ("from ..other import x", r"\.\.other lies outside the variant's own folder"),
    ],
)  # fmt: skip
def test_what_no_identity_can_cover_is_refused(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports: str, message: str
) -> None:
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose/loose_module.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "loose"))
    sys.modules.pop("loose_module", None)
    with pytest.raises(UserError, match=message):
        load_variant("idea", [write(imports, helper="import loose_module\nF = 1\n")])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package that offers `packed`, which imports from the package."""
    place = tmp_path / "site"
    for name, text in {
        "packed_package/__init__.py": "", "packed_package/ops.py": "F = 1\n", "packed_package/unrelated.py": "",
        "packed_package/schemes/__init__.py": "",
        "packed_package/schemes/packed.py": HEAD + "from ..ops import F" + CLASS.format(factor="F"),
        "packed_package-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: packed-package\nVersion: 1.0\n",
        "packed_package-1.0.dist-info/entry_points.txt": "[harness.variants]\npacked = packed_package.schemes.packed\n",
    }.items():  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    monkeypatch.syspath_prepend(str(place))
    registry._entry_points.cache_clear()
    yield place / "packed_package"
    registry._entry_points.cache_clear()
    code_identity.cache_clear()
    for name in [name for name in sys.modules if name.startswith("packed_package")]:
        del sys.modules[name]


def test_a_package_is_covered_where_its_variant_imports_it(package: Path) -> None:
    file = variant_file("packed")
    assert set(closure_of(file).files) == {
        "packed_package/__init__.py", "packed_package/ops.py", "packed_package/schemes/__init__.py",
    }  # fmt: skip
    assert packages_of(["packed", "joint"]) == {"packed_package": package}
    assert load_variant("packed").factor == 1  # type: ignore[attr-defined]
    before = code_identity(file)
    (package / "unrelated.py").write_text("x = 1\n")
    code_identity.cache_clear()
    assert code_identity(file) == before
    (package / "ops.py").write_text("F = 22\n")
    registry.forget_changed()
    assert code_identity(file) != before
    assert load_variant("packed").factor == 22  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", variant_names())
def test_a_shipped_variant_is_its_own_file(name: str) -> None:
    found = closure_of(variant_file(name))
    assert (found.files, found.distributions, found.refused) == ({}, set(), [])
