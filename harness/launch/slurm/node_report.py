"""Diagnostics of a node for `doctor`, as one line of JSON. Standard library only: packages may be missing here.

python -m harness.launch.slurm.node_report FILE
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "pydantic", "yaml", "safetensors", "av", "einops", "fvcore", "scipy", "rich", "submitit")


def node_report(file: Path) -> dict[str, Any]:
    """Returns the content of a file on the shared folder as this node sees it, its clock, packages, CPUs and GPUs."""
    try:
        content = file.read_text(encoding="utf-8")
    except OSError as error:
        content = f"cannot be read: {error.strerror}"
    return {
        "node": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "content": content,
        "time": time.time(),
        "missing": [name for name in PACKAGES if importlib.util.find_spec(name) is None],
        "cpus_asked": int(os.environ.get("SLURM_CPUS_PER_TASK", "1")),
        "cpus": len(os.sched_getaffinity(0)),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    }


if __name__ == "__main__":
    print(json.dumps(node_report(Path(sys.argv[1]))))
