"""The file of a checkpoint: tensors and texts in safetensors format, under one SHA-256 over every byte of the file."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from harness.store import previous_checkpoint, written_aside

_SEAL = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_BLANK = b"0" * 64  # stands in place of the hash while the hash is computed
_CHUNK = 2**20


class DamagedCheckpoint(Exception):
    """The file is not what was written."""


class _Seal(NamedTuple):
    """Hash that a file states, hash of its content, and the byte at which the stated one begins."""

    stated: str
    found: str
    place: int


def write(path: Path, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """Writes a file atomically; the one that was there stays as `previous_checkpoint(path)`.

    Raises: OSError; the files that were there are unchanged then.
    """
    with written_aside(path) as aside:
        save_file(dict(tensors), str(aside), metadata={**texts, "sha256": _BLANK.decode()})
        with open(aside, "r+b") as file:
            seal = _sealed(file)
            assert seal is not None
            file.seek(seal.place)
            file.write(seal.found.encode())
            file.flush()
            os.fsync(file.fileno())  # before the older file gives up its name
        with suppress(FileNotFoundError):
            os.replace(path, previous_checkpoint(path))


def read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Returns (texts, tensors) of a file whose hash is right; older files have a CRC-32 of the tensors only.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedCheckpoint: the content is not what was written. Other exceptions are possible for a damaged older file.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for ever
        raise DamagedCheckpoint("not a regular file")
    with open(path, "rb") as opened:
        seal = _sealed(opened)
    if seal is not None and seal.stated != seal.found:
        raise DamagedCheckpoint("the checksum does not match")
    with safe_open(str(path), framework="pt") as file:
        texts = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    if seal is None and texts.get("crc32") != str(_crc32(tensors)):
        raise DamagedCheckpoint("the checksum does not match")
    return texts, tensors


def _sealed(file: BinaryIO) -> _Seal | None:
    """Hashes a file as if the stated hash were blank; None for a file that states none."""
    start = file.read(8)
    header = file.read(min(int.from_bytes(start, "little"), os.fstat(file.fileno()).st_size))
    seals = list(_SEAL.finditer(header))
    if len(seals) != 1:
        return None
    first, last = seals[0].span(1)
    digest = hashlib.sha256(start + header[:first] + _BLANK + header[last:])
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return _Seal(header[first:last].decode(), digest.hexdigest(), len(start) + first)


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    """Returns the CRC-32 of all tensors, sorted by name, as older files have it."""
    found = 0
    for name in sorted(tensors):
        values: Any = tensors[name].reshape(-1).view(torch.uint8).numpy()
        found = zlib.crc32(values, found)
    return found
