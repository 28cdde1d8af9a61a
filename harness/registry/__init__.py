"""Registry of variants: files in `variants/`, in folders given by the user, and in installed packages.

Listing reads files without running them; loading runs exactly one file. An installed package offers a variant by an
entry point of the group `harness.variants` that names the module, e.g. `my_scheme = "my_package.my_scheme"`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness import locations
from harness.code_identity import code_identity
from harness.code_identity.closure import ENTRY_POINT_GROUP, closure_of, refusals
from harness.errors import Fault, UserError, did_you_mean
from harness.proofs import proof_hash
from harness.registry.classes import only_subclass
from harness.registry.loading import import_file

if TYPE_CHECKING:
    from harness.api import Variant

OUR_VARIANTS = locations.VARIANTS
#: what to do with a file that cannot be corrected
AWAY = "take it out of the folder"


@dataclass(frozen=True)
class VariantInfo:
    """Name, summary, source and file of a variant, from its docstring."""

    name: str
    summary: str
    source: str
    file: Path


def _files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")}


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _locate(extra_dirs: Sequence[Path]) -> dict[str, Path | EntryPoint]:
    """Map names to files or entry points. Raises: UserError for a name in two places."""
    found: dict[str, Path | EntryPoint] = {}
    for folder in (OUR_VARIANTS, *extra_dirs):
        if not Path(folder).is_dir():
            raise UserError(f"--variants {folder}: no such folder. Give a folder that holds variant files (NAME.py).")
        for name, path in _files(Path(folder)).items():
            if name in found:
                raise UserError(f"variant {name} is in {found[name]} and in {path}. Rename one of the files.")
            found[name] = path
    for name, point in _entry_points().items():
        if name in found:
            raise UserError(f"variant {name} is in {found[name]} and in the package {point.value}. Rename one.")
        found[name] = point
    return found


def variant_names(extra_dirs: Sequence[Path] = ()) -> list[str]:
    """Return the names of all variants, sorted; runs no variant file."""
    return sorted(_locate(extra_dirs))


def variant_file(name: str, extra_dirs: Sequence[Path] = ()) -> Path:
    """Return the file that defines a variant. Raises: UserError for an unknown name."""
    found = _locate(extra_dirs)
    if name not in found:
        names = sorted(found)
        raise UserError(f"no variant named {name}. Variants: {', '.join(names)}.{did_you_mean(name, names)}")
    place = found[name]
    if isinstance(place, Path):
        return place
    return _module_file(name, place)


def _module_file(name: str, point: EntryPoint) -> Path:
    """Return the file of the module that an entry point names; the search imports its parent packages."""
    reason = ""
    try:
        spec = importlib.util.find_spec(point.module)
    except (Exception, SystemExit) as error:  # the package's own __init__ may raise anything
        spec, reason = None, f" ({type(error).__name__}: {error})"
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        package = point.dist.name if point.dist else "a package"
        raise UserError(
            f"variant {name}: the installed package offers {point.value}, which cannot be found{reason}. "
            f"Install {package} again, or uninstall it."
        )
    return Path(spec.origin)


def packages_of(names: Iterable[str] | None, extra_dirs: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the top-level packages with code of these variants (None: all), and their folders or files."""
    found: dict[str, Path] = {}
    for name in _entry_points() if names is None else set(names) & set(_entry_points()):
        with suppress(UserError):  # one that cannot be found cannot be run
            found |= closure_of(variant_file(name, extra_dirs)).packages
    return dict(sorted(found.items()))


def describe(name: str, extra_dirs: Sequence[Path] = ()) -> VariantInfo:
    """Return first line and source of a variant's docstring, without running the file."""
    return describe_file(variant_file(name, extra_dirs), name)


def describe_file(file: Path, name: str) -> VariantInfo:
    """Return first line and source of a file's docstring. Raises: UserError for a file that is not valid Python."""
    text = ast.get_docstring(_parse(file)) or ""
    lines = text.splitlines()
    source = " ".join(line.strip() for line in _paragraph(lines, "Source:"))
    return VariantInfo(name, lines[0].strip() if lines else "", source.removeprefix("Source:").strip(), file)


def _parse(file: Path) -> ast.Module:
    content = b""
    try:
        content = file.read_bytes()
        return ast.parse(content)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}. Make it readable, or {AWAY}.") from error
    except (SyntaxError, ValueError) as error:
        line, message = getattr(error, "lineno", None) or 1, getattr(error, "msg", str(error))
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as undecodable:
            line = content[: undecodable.start].count(b"\n") + 1
            message = f"byte 0x{content[undecodable.start]:02x} is not UTF-8; save the file as UTF-8"
        raise UserError(f"{file}:{line}: {message}. The file is no valid Python: correct it, or {AWAY}.") from error


def _paragraph(lines: list[str], start: str) -> list[str]:
    """Return the lines from the one that begins with `start` to the next blank line."""
    found: list[str] = []
    for line in lines:
        if line.strip().startswith(start) or (found and line.strip()):
            found.append(line)
        elif found:
            break
    return found


#: size and time of each file when it was loaded
_stamps: dict[Path, tuple[int, int] | None] = {}


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def forget_changed() -> None:
    """Forget loaded variants if one of their files has changed: in a notebook, files are edited between two calls."""
    if any(_stamp(file) != stamp for file, stamp in _stamps.items()):
        _stamps.clear()
        _load.cache_clear()
        code_identity.cache_clear()
        proof_hash.cache_clear()


@cache
def _load(file: Path, name: str) -> type[Variant]:
    from harness.api import Variant

    _stamps[file] = _stamp(file)
    _parse(file)  # a syntax error with its line
    imported = closure_of(file)
    if messages := list(refusals(imported)):
        raise UserError(Fault("", "", message) for message in messages)
    for path in imported.files.values():
        _stamps[path] = _stamp(path)
    for kept in (code_identity, proof_hash):  # from here on they say what was loaded, whatever becomes of the files
        kept(file)
    found = only_subclass(import_file(file, imported), Variant, "variant")
    _check_defaults(file, found)
    return found


def _check_defaults(file: Path, variant: type[Variant]) -> None:
    """Check that each knob has a valid default, with which the variant is listed, checked and swept."""
    config = variant.Config
    try:
        config()
    except ValidationError as error:
        faults = [(str(item["loc"][0]) if item["loc"] else "", item["type"], item["msg"]) for item in error.errors()]
        said = {
            knob: "has no default" if kind == "missing" else f"has a default that is refused: {message}"
            for knob, kind, message in faults
        }
        owner, way_out = config.__name__, "Give it a default that is allowed."
        raise UserError(
            Fault("", "", f"{file}:{_line_of(file, owner, knob)}: {owner}.{knob}: {what}. {way_out}")
            for knob, what in said.items()
        ) from error


def _line_of(file: Path, class_name: str, knob: str) -> int:
    """Return the line of a field; of its class, or 1, if another file defines it."""
    line = 1
    for node in ast.walk(_parse(file)):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            own = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            line = next((x.lineno for x in own if ast.unparse(x.target) == knob), node.lineno)
    return line


def load_variant(name: str, extra_dirs: Sequence[Path] = ()) -> type[Variant]:
    """Import the variant's file and return its class. Raises: UserError for an unknown name or a broken file."""
    file = variant_file(name, tuple(extra_dirs))
    try:
        return _load(file, name)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # the file may raise anything
        own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        place = f"{file}:{own[-1]}" if own else str(file)
        message = f"cannot be imported: {type(error).__name__}: {error}. Correct the file, or {AWAY}."
        raise UserError(f"{place}: {message}") from error
