"""The process that workers are forked from: it imports, and then forks a worker for each request."""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from harness.worker.processes import stat_fields
from harness.worker.signals import end_with_parent

#: what a worker imports sooner or later. No variant: that code is not ours, and runs in its own worker only
MODULES = (
    "torch._dynamo", "fvcore.nn", "scipy.stats", "harness.api", "harness.data", "harness.measure.costs",
    "harness.measure.count.planned", "harness.measure.failure", "harness.measure.isolated.request",
    "harness.measure.machine.environment", "harness.measure.memory.predicted", "harness.measure.metrics",
    "harness.model.video_transformer", "harness.proofs", "harness.train.evaluate", "harness.train.loop",
    "harness.worker.stages",
)  # fmt: skip
MAX_REQUEST_BYTES = 1 << 16
SPACE_FOR_TITLE = 2048


def serve(descriptor: int, parent: int) -> list[str] | None:
    """Forks workers until the pool closes its side; returns None then, and in each worker its command line.

    Stop signals stay blocked, as in every new worker, so they do not end this process.
    """
    end_with_parent(parent, signal.SIGKILL)
    set_title(["python", "-m", "harness", "server"])
    connection = socket.socket(fileno=descriptor)
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # collections in a worker do not copy the pages of these objects
    connection.send(b"ready")
    while received := connection.recv(MAX_REQUEST_BYTES):
        request = json.loads(received)
        answer = _fork()
        if answer is None:
            connection.close()
            return _become_worker(request)
        connection.send(json.dumps(answer).encode())
    return None


def num_threads() -> int:
    """Returns the number of threads of this process."""
    return len(os.listdir("/proc/self/task"))


def _fork() -> dict[str, Any] | None:
    """Forks a grandchild; returns None in it, and its process id here once its parent is gone.

    Refuses if this process has threads: one of them may hold a lock that would stay locked for ever in the worker.
    """
    if (number := num_threads()) != 1:
        return {"refused": f"{number} threads"}
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        middle = os.getpid()
        worker = os.fork()
        if worker:
            os.write(writing, str(worker).encode())
            os._exit(0)
        os.close(reading)
        os.close(writing)
        while os.getppid() == middle:
            time.sleep(0.001)
        return None
    os.close(writing)
    worker_id = int(os.read(reading, 32) or 0)
    os.close(reading)
    os.waitpid(middle, 0)
    return {"pid": worker_id} if worker_id else {"refused": "no process could be forked"}


def _become_worker(request: dict[str, Any]) -> list[str]:
    """Makes this process what exec would have made it; returns the arguments of its command line."""
    import numpy as np

    os.setsid()
    os.chdir(request["folder"])
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    arguments: list[str] = request["arguments"]
    sys.argv[1:] = arguments
    set_title(["python", "-m", "harness", *arguments])
    np.random.seed()  # from the system, as at import; `random` does so by itself, and a trial seeds torch
    return arguments


def set_title(words: Sequence[str]) -> None:
    """Replaces the command line of this process as `ps` and /proc show it, as far as its arguments have space."""
    fields = stat_fields("self")
    start, end = int(fields[45]), int(fields[46])
    size = end - start
    if start and size > 0:
        content = b"\0".join(word.encode() for word in words)[: size - 1]
        ctypes.memmove(start, content.ljust(size, b"\0"), size)
