"""Locates and hashes a weights file without loading it (no torch)."""

from __future__ import annotations

import hashlib
import stat
from functools import lru_cache
from pathlib import Path

from harness.errors import UserError

HUB = "hf://"
HUB_FILE = "model.safetensors"


def locate(file: str) -> Path:
    """Returns the local path of `weights.file`: relative to the working directory, or downloaded from the hub.

    A file of the Hugging Face hub is written hf://org/name[@revision][/file]; the default file is model.safetensors.
    The hub's client downloads it once and caches it.

    Raises:
        UserError: the file does not exist, the hub's client is not installed, or the download fails.
    """
    path = _fetch(file) if file.startswith(HUB) else Path(file)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # a name that no file can have, too
        mode = 0
    if not stat.S_ISREG(mode):
        what = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file" if mode else "no such file"
        raise UserError(f"{file}: {what}. Give a .safetensors, .pt, .pth, .pyth, .bin or .npz file, or hf://org/name")
    return path


def _fetch(file: str) -> Path:
    org, _, rest = file.removeprefix(HUB).partition("/")
    name, _, inside = rest.partition("/")
    name, _, revision = name.partition("@")
    if not org or not name:
        raise UserError(f"{file}: not a repository of the hub; write hf://org/name, hf://org/name@revision/file")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise UserError(
            f"{file}: needs the optional package huggingface_hub; `pip install -e .[hub]`, "
            f"or download the file and give its path"
        ) from None
    try:
        return Path(hf_hub_download(f"{org}/{name}", inside or HUB_FILE, revision=revision or None))
    except Exception as error:  # the client raises dozens of classes for network errors, missing access and wrong names
        raise UserError(f"{file}: the download from the hub failed ({type(error).__name__}: {error})") from error


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file as 64 hex digits; cached per process by path, modification time and size."""
    try:
        found = path.stat()
        return _sha256(str(path.resolve()), found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


@lru_cache(maxsize=256)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(file: str, expected: str | None) -> tuple[Path, str]:
    """Returns (path, content hash) of `weights.file`.

    Raises:
        UserError: the file cannot be read, or its hash is not the expected one.
    """
    path = locate(file)
    found = sha256(path)
    if expected is not None and found != expected:
        raise UserError(f"{file}: its SHA-256 is {found}, not {expected}, so it has changed. Plan the sweep again")
    return path, found
