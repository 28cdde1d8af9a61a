"""The registry finds variants by file, folder and entry point, and reports what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import registry
from harness.errors import UserError
from harness.registry import describe, load_variant, variant_file, variant_names

ROOT = Path(__file__).resolve().parents[2]
EMPTY = '"""A variant for tests.\n\nSource: this test.\n"""\nfrom harness.api import Variant\n'
ONE = EMPTY + "\nclass Outside(Variant):\n    pass\n"
TWO = ONE + "\nclass Another(Variant):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a variant file into a folder of its own and return the folder."""

    def write(name: str, text: str) -> Path:
        (tmp_path / f"{name}.py").write_text(text)
        return tmp_path

    return write


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Offer `outside_package.scheme` under a name, as the entry point of an installed package does."""
    (tmp_path / "outside_package").mkdir()
    (tmp_path / "outside_package" / "__init__.py").touch()
    (tmp_path / "outside_package" / "scheme.py").write_text(ONE)
    info = tmp_path / "outside_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-package\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def offer(entry: str) -> None:
        (info / "entry_points.txt").write_text(f"[harness.variants]\n{entry}\n")
        registry._entry_points.cache_clear()

    yield offer
    registry._entry_points.cache_clear()
    for name in [name for name in sys.modules if name.startswith("outside_package")]:
        del sys.modules[name]


def test_listing_imports_neither_torch_nor_a_variant() -> None:
    code = (
        "import sys; from harness.cli import main; main(['list', 'variants']);"
        "print([name for name in sys.modules if name == 'torch' or name.startswith('variants')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert all(name in done.stdout for name in variant_names())


@pytest.mark.parametrize("name", variant_names())
def test_every_variant_has_a_summary_and_a_source(name: str) -> None:
    info = describe(name)
    assert info.summary.endswith(".")
    assert info.source


def test_a_file_in_a_folder_is_a_variant(folder: Callable[[str, str], Path]) -> None:
    place = folder("registry_one", ONE)
    (place / "_helper.py").write_text("raise RuntimeError")
    assert "registry_one" in variant_names([place])
    assert "_helper" not in variant_names([place])
    assert load_variant("registry_one", [place]).__name__ == "Outside"
    assert describe("registry_one", [place]).summary == "A variant for tests."


def test_a_name_in_two_places_is_refused(folder: Callable[[str, str], Path]) -> None:
    place = folder("joint", ONE)
    with pytest.raises(
        UserError, match=r"variant joint is in .*joint\.py and in .*joint\.py\. Rename one of the files"
    ):
        variant_names([place])


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no variant named divded\. Variants: .*joint.*\. Did you mean divided\?"):
        variant_file("divded")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        variant_names([tmp_path / "nowhere"])


@pytest.mark.parametrize(("text", "found"), [(EMPTY, "none"), (TWO, "Outside, Another")], ids=["none", "two"])
def test_a_file_defines_exactly_one_variant(folder: Callable[[str, str], Path], text: str, found: str) -> None:
    place = folder("registry_count", text)
    with pytest.raises(UserError, match=f"exactly one subclass of harness.api.Variant; found: {found}"):
        load_variant("registry_count", [place])


def test_a_syntax_error_is_reported_with_its_line(folder: Callable[[str, str], Path]) -> None:
    place = folder("registry_syntax", EMPTY + "\nclass (Variant):\n    pass\n")
    with pytest.raises(UserError, match=r"registry_syntax\.py:7: .* no valid Python: correct it, or take it out"):
        load_variant("registry_syntax", [place])
    with pytest.raises(UserError, match=r"registry_syntax\.py:7: .* no valid Python"):
        describe("registry_syntax", [place])


def test_a_missing_import_is_reported_with_the_file(folder: Callable[[str, str], Path]) -> None:
    place = folder("registry_import", "import no_such_module\n" + ONE)
    with pytest.raises(
        UserError, match=r"registry_import\.py:1: cannot be imported: ModuleNotFoundError: No .*'no_such_module'"
    ):
        load_variant("registry_import", [place])
    assert "harness_variant_registry_import" not in sys.modules


def test_an_installed_package_offers_a_variant(package: Callable[[str], None]) -> None:
    package("from_outside = outside_package.scheme")
    assert "from_outside" in variant_names()
    assert describe("from_outside").source == "this test."
    assert load_variant("from_outside").__name__ == "Outside"


def test_a_package_may_not_take_a_known_name(package: Callable[[str], None]) -> None:
    package("joint = outside_package.scheme")
    with pytest.raises(UserError, match=r"variant joint is in .*joint\.py and in the package outside_package\.scheme"):
        variant_names()


def test_a_package_that_offers_what_it_lacks_is_named(package: Callable[[str], None]) -> None:
    package("from_outside = outside_package.gone")
    with pytest.raises(UserError, match=r"the installed package offers outside_package\.gone, which cannot be found"):
        variant_file("from_outside")
