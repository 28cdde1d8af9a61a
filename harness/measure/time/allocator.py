"""Makes the C library keep freed memory, as CUDA's caching allocator does on a GPU.

By default glibc returns freed blocks to the kernel when they are large or at the end of its heap, and the next call
faults every page in again. Whether that happens depends on where small blocks happen to be placed, so it changes ratios
of times from process to process, and even which of two models is faster.
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
    """Keep freed memory on the heap of this process from now on; return False where that is not possible (no glibc).

    For processes that measure time: resident memory no longer falls, so measure peaks in other processes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _NEVER) and mallopt(_M_MMAP_MAX, _NONE))
