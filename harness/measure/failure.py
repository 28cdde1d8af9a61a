"""Classifies an exception as a trial status: out of memory, not finite, invalid input, or failed."""

from __future__ import annotations

import re

from harness.errors import UserError
from harness.text.clean import one_line, said

#: messages of torch and of the C++ library for a failed allocation on a CPU
_REFUSALS = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "bad_alloc", "bad allocation")
_UNIT_BYTES = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def verdict(error: BaseException) -> tuple[str, str]:
    """Return (status, message) of an exception; the status is one of `harness.record.STATUSES`."""
    import torch

    from harness.train.distributed import RankFailed
    from harness.train.loop import NonFiniteLoss

    text = said(error)
    if isinstance(error, UserError):
        return "invalid", text
    if isinstance(error, NonFiniteLoss):
        return "nan", text
    if isinstance(error, RankFailed):
        return error.status, text
    message = ": ".join(filter(None, [one_line(type(error).__name__), text.split("\n")[0]]))
    refused = isinstance(error, (RuntimeError, OSError)) and any(words in text for words in _REFUSALS)
    if refused or isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "oom", message
    return "failed", message


def requested_bytes(message: str) -> int | None:
    """Return the size of a failed allocation from torch's message; None if it has none."""
    match = re.search(r"[Tt]ried to allocate ([\d.]+) (bytes|KiB|MiB|GiB|TiB)", message)
    return None if match is None else round(float(match[1]) * _UNIT_BYTES[match[2]])
