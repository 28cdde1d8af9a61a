"""The pool's side of warm workers: starts a server for each environment, and asks it to fork."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.launch.local.server import SPACE_FOR_TITLE
from harness.worker import EXIT_FAILED
from harness.worker.signals import blocked_stop_signals

IMPORT_SECONDS = 120.0  # a slow file server; then workers start by exec
FORK_SECONDS = 20.0
MAX_FAILURES = 3  # of servers, in one pool


class ForkedProcess:
    """A child that this process did not start itself, with the methods of `subprocess.Popen` that the pool uses."""

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns the exit code as `subprocess` gives it, None while the process runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # something else in this process took its exit code
                self.returncode = EXIT_FAILED
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end. Raises: subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0.0)
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Server:
    """One server. It imports for seconds before it `is_ready`."""

    def __init__(self, environment: Mapping[str, str]):
        self.connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "harness", "server", str(other.fileno()), "--parent", str(os.getpid())]
        with other, blocked_stop_signals():
            self.process = subprocess.Popen(
                [*command, "--space", "_" * SPACE_FOR_TITLE], env=environment, pass_fds=[other.fileno()],
                start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self.started = time.monotonic()
        self._is_ready = False

    def is_ready(self) -> bool:
        """Returns whether the server has imported everything. Raises: OSError if it ended or takes too long."""
        if not self._is_ready:
            if not select.select([self.connection], [], [], 0)[0]:
                if time.monotonic() - self.started > IMPORT_SECONDS:
                    raise TimeoutError("the server takes too long")
                return False
            if self.connection.recv(64) != b"ready":
                raise ConnectionError("the server ended")
            self._is_ready = True
        return True

    def fork(self, request: Mapping[str, Any]) -> int | None:
        """Returns the process id of a new worker; None where the server must not fork. Raises: OSError."""
        self.connection.send(json.dumps(request).encode())
        if not select.select([self.connection], [], [], FORK_SECONDS)[0]:
            raise TimeoutError("the server does not answer")
        received = self.connection.recv(4096)
        if not received:
            raise ConnectionError("the server ended")
        pid: int | None = json.loads(received).get("pid")
        return pid

    def close(self) -> None:
        """Ends the server; its workers go on."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


class WarmWorkers:
    """The servers of one pool, by environment. A server that ends is replaced a few times; then workers start cold."""

    def __init__(self) -> None:
        self._servers: dict[frozenset[tuple[str, str]], Server] = {}
        self._failures = 0

    @property
    def pids(self) -> set[int]:
        """Returns the process ids of the servers."""
        return {server.process.pid for server in self._servers.values()}

    def is_starting(self, environment: Mapping[str, str]) -> bool:
        """Returns whether a server for this environment is still importing; starts one if there is none."""
        if self._failures >= MAX_FAILURES:
            return False
        key = frozenset(environment.items())
        try:
            if key not in self._servers:
                self._servers[key] = Server(environment)
            return not self._servers[key].is_ready()
        except OSError:
            self._failed(key)
            return self._failures < MAX_FAILURES

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> ForkedProcess | None:
        """Returns a new worker, or None where it has to start by exec. Call it when the server is ready."""
        key = frozenset(environment.items())
        if key not in self._servers:
            return None
        request = {"arguments": list(arguments), "log": str(log), "folder": os.getcwd()}
        try:
            pid = self._servers[key].fork(request)
        except OSError:
            self._failed(key)
            return None
        if pid is None:
            self._failures = MAX_FAILURES
        return None if pid is None else ForkedProcess(pid)

    def _failed(self, key: frozenset[tuple[str, str]]) -> None:
        self._failures += 1
        server = self._servers.pop(key, None)
        if server is not None:
            server.close()

    def close(self) -> None:
        """Ends all servers."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
