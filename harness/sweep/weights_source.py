"""Where a file of weights lies and what it contains, without reading it as weights (no torch here)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from harness.errors import UserError

HUB = "hf://"
HUB_FILE = "model.safetensors"


def locate(file: str) -> Path:
    """The local path of `weights.file`: a path from the working directory, or a file of the Hugging Face hub.

    The hub is written hf://org/name[@revision][/file], by default its model.safetensors; the hub's client fetches
    it once and caches it.

    Raises:
        UserError: no such file, or the hub's client is not installed or does not deliver.
    """
    path = _fetch(file) if file.startswith(HUB) else Path(file)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
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
    except Exception as error:  # network, access, a wrong name: the client has dozens of classes for them
        raise UserError(f"{file}: the hub did not deliver it ({type(error).__name__}: {error})") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's content as 64 hex digits; read once per process while path, time and size stay."""
    try:
        stat = path.stat()
        return _sha256(str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


@lru_cache(maxsize=256)
def _sha256(path: str, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(file: str, expected: str | None) -> tuple[Path, str]:
    """(path, content hash) of `weights.file`. Raises: UserError where it is not the expected content."""
    path = locate(file)
    found = sha256(path)
    if expected is not None and found != expected:
        raise UserError(f"{file}: its SHA-256 is {found}, not {expected}; it has changed; plan the sweep again")
    return path, found
