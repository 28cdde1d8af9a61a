"""Runs a measurement in a fresh process and returns its answer; a crash or a timeout is an answer too."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.measure.isolated.request import MeasurementAnswer, MeasurementRequest
from harness.measure.process_end import num_oom_kills, status_of_exit

#: tensors from this size on are mapped separately and unmapped when freed: no fragmentation in the peak
MMAP_THRESHOLD = "65536"


def ask(request: MeasurementRequest, *, timeout_s: float = 300.0) -> MeasurementAnswer:
    """Run a request in a subprocess with the number of threads of its first configuration."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder, "request.json"), Path(folder, "answer.json")
        asked.write_text(request.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-m", "harness", "probe", str(asked), str(answered)]
        oom_kills_before = num_oom_kills()
        try:
            done = subprocess.run(
                command, env=_environment(request), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return MeasurementAnswer(status="timeout", message=f"no answer after {timeout_s:g} s")
        if answered.exists():
            return MeasurementAnswer.model_validate_json(answered.read_text(encoding="utf-8"))
    return _unexplained(done.returncode, done.stderr, oom_kills_before)


def _environment(request: MeasurementRequest) -> dict[str, str]:
    """Return the environment of this process with the number of threads of the configuration."""
    config = next(iter(request.configs.values()))
    threads = str(config["train"]["num_threads"])
    found = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if request.compile_cache is not None:
        found["TORCHINDUCTOR_CACHE_DIR"] = request.compile_cache
    return found | ({"MALLOC_MMAP_THRESHOLD_": MMAP_THRESHOLD} if request.kind == "memory" else {})


def _unexplained(code: int, stderr: str, oom_kills_before: int) -> MeasurementAnswer:
    """MeasurementAnswer for a process that ended without writing one: a signal ended it, or it crashed."""
    status, message = status_of_exit(code, oom_kills_before)
    lines = [line for line in stderr.splitlines() if line.strip()] if code >= 0 else []
    return MeasurementAnswer(status=status, message=": ".join([message, *([" | ".join(lines[-3:])] if lines else [])]))
