"""How a failure counts: out of memory, not finite, bad input or a fault, and the bytes that were asked for in vain."""

from __future__ import annotations

import re

from harness.errors import UserError

#: what torch and the C++ library say when memory is refused on a CPU
_REFUSALS = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "bad_alloc", "bad allocation")
_UNIT_BYTES = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def verdict(error: BaseException) -> tuple[str, str]:
    """(status, message) of a failure, in the words of `harness.record.STATUSES`."""
    import torch

    from harness.train.distributed import RankFailed
    from harness.train.loop import NonFiniteLoss

    message = f"{type(error).__name__}: {error}".splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, UserError):
        return "invalid", str(error)
    if isinstance(error, NonFiniteLoss):
        return "nan", str(error)
    if isinstance(error, RankFailed):
        return error.status, str(error)
    refused = isinstance(error, (RuntimeError, OSError)) and any(words in str(error) for words in _REFUSALS)
    if refused or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "oom", message
    return "failed", message


def requested_bytes(message: str) -> int | None:
    """Bytes whose allocation was refused, as torch's message tells them; None where it does not."""
    match = re.search(r"[Tt]ried to allocate ([\d.]+) (bytes|KiB|MiB|GiB|TiB)", message)
    return None if match is None else round(float(match[1]) * _UNIT_BYTES[match[2]])
