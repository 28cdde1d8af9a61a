"""Lets the C library keep memory that was freed, as CUDA's caching allocator does for a GPU.

By default glibc gives freed blocks back to the kernel whenever they are large or lie at the end of its heap, and the
next call has to fault every page in again. Whether that happens in a process is decided by where small blocks chance
to lie, so it changes ratios of times from process to process, and even which of two models is the faster one.
"""

from __future__ import annotations

import ctypes
from functools import cache

# <malloc.h>; see mallopt(3)
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER, _NONE = -1, 0


@cache
def keep_freed_memory() -> bool:
    """From now on this process keeps on its heap what is freed; False where the C library cannot be told (no glibc).

    For processes that time: resident memory no longer falls, so peaks are to be measured in others.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_MMAP_MAX, _NONE))
