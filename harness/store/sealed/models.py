"""Reads and writes files of one schema: seal, version, fields; one kind of error for each kind of fault."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from harness.errors import Fault, UserError
from harness.record import SCHEMA_VERSION, SEALED_SINCE, FileModel
from harness.store.sealed import seal
from harness.store.sealed.reading import MAX_BYTES, DamagedError, read_object

_UPDATE = "Update the harness to the version that wrote the file"
Model = TypeVar("Model", bound=FileModel)


class NewerVersionError(UserError):
    """A file that a newer version of this program wrote: sound, but not readable here."""


class UnreadableError(UserError):
    """A file that the system does not let us read, now: it need not be damaged."""


class DamagedFileError(UserError):
    """A file whose content cannot be used: `reasons` are (field or "", what is wrong), `way_out` what to do."""

    def __init__(self, path: Path, reasons: Sequence[tuple[str, str]], way_out: str):
        super().__init__(Fault(str(path), field, f"damaged ({what}). {way_out}.") for field, what in reasons)
        field, what = reasons[0]
        more = f", and {len(reasons) - 1} more faults" if len(reasons) > 1 else ""
        self.reason = f"{f'{field}: ' * bool(field)}{what}{more}"


def read_model(path: Path, model: type[Model], way_out: str, limit: int = MAX_BYTES) -> Model:
    """Read a JSON file of one schema. Raises: UserError; FileNotFoundError and NotADirectoryError for the caller."""
    try:
        content, is_sealed = seal.check(read_object(path, limit))
        version = content.get("schema_version")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise DamagedError(f"schema_version is {version!r}, not a number from 1 on")
        if version >= SEALED_SINCE and not is_sealed:
            raise DamagedError("its seal is missing")
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror}).") from error
    except (DamagedError, seal.SealError) as error:
        raise DamagedFileError(path, [("", str(error))], way_out) from error
    if version > SCHEMA_VERSION:
        raise NewerVersionError(
            f"{path}: schema version {version}; this version of the harness reads up to {SCHEMA_VERSION}. {_UPDATE}."
        )
    try:
        found = model.model_validate(content)
    except ValidationError as error:
        raise _refusal(path, error, way_out, is_sealed) from error
    found._is_sealed = is_sealed
    return found


def sealed_text(model: FileModel) -> str:
    """Return the text of a file with this content and its seal."""
    return json.dumps(seal.seal(json.loads(model.model_dump_json())), indent=1, ensure_ascii=False)


def _refusal(path: Path, error: ValidationError, way_out: str, is_sealed: bool) -> UserError:
    """Fields that are unknown here are no damage where the seal is whole: a newer version has written them."""
    faults = [(".".join(map(str, item["loc"]))[:80], item["type"], item["msg"]) for item in error.errors()]
    if is_sealed and all(kind == "extra_forbidden" for _, kind, _ in faults):
        names = ", ".join(name for name, _, _ in faults)
        return NewerVersionError(f"{path}: fields that this version of the harness does not know: {names}. {_UPDATE}.")
    return DamagedFileError(path, [(name, message) for name, _, message in faults], way_out)
