"""The verbs of the command line: what each does, in the groups that `--help` shows, with examples."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """One verb: its summary for lists, and two commands that show it."""

    summary: str
    examples: tuple[str, ...] = ()


GROUPS: dict[str, dict[str, Verb]] = {
    "run": {
        "sweep": Verb(
            "plan a sweep, run what is missing, write the report",
            ("sweep sweeps/window_size.yaml --dry-run", "sweep sweeps/window_size.yaml --jobs 2 --set seeds=2"),
        ),
        "retry": Verb(
            "put failed trials back in the queue, and start them if wanted",
            ("retry runs/window_size", "retry runs/window_size --status oom,timeout --start"),
        ),
        "clean": Verb(
            "remove checkpoints; move results that the sweep no longer asks for to the trash",
            ("clean runs/window_size --checkpoints --dry-run", "clean runs/window_size --stale"),
        ),
    },
    "inspect": {
        "status": Verb(
            "show the status of each trial of a run",
            ("status runs/window_size", "status runs/mine --all --json"),
        ),
        "watch": Verb(
            "show the status live, until no trial is open",
            ("watch runs/window_size", "watch runs/window_size --interval 10s"),
        ),
        "report": Verb(
            "write a run's report again, from its records alone",
            ("report runs/window_size", "report /shared/runs/mine"),
        ),
        "list": Verb(
            "list variants, readouts, data sets, sweeps, recipes or reports", ("list variants", "list sweeps")
        ),
    },
    "measure": {
        "cost": Verb(
            "count parameters and multiply-accumulates of a sweep's rows, a variant or any module",
            ("cost mixing --set model.num_frames=16", "cost sweeps/window_size.yaml --backward --memory"),
        ),
        "bench": Verb(
            "compare the rows of a sweep, or variants, in time, with intervals",
            ("bench spatial_only mixing joint", "bench sweeps/window_size.yaml --mode train_step"),
        ),
        "frontier": Verb(
            "find the most frames, pixels, clips or neighbour frames that each row affords within a budget",
            ("frontier mixing joint --over num_frames --latency-ms 100",
             "frontier mixing joint --over num_frames --memory-mib 2048 --predicted"),
        ),
        "scaling": Verb(
            "fit how a cost grows with frames, crop or window, and where rows change order",
            ("scaling sweeps/schemes.yaml --over num_frames --values 4 8 16",
             "scaling mixing --over temporal_window --values 1 2 3 --measure memory"),
        ),
        "selftest": Verb(
            "compare a configuration with itself: how often does the timing protocol find a difference?",
            ("selftest --runs 5", "selftest --pair joint divided"),
        ),
    },
    "extend": {
        "new": Verb(
            "start a variant from a scaffold that passes the contract",
            ("new variant near_frames", "new variant near_frames --to mine"),
        ),
        "check": Verb("check that variants keep their contract", ("check mixing", "check near_frames --variants mine")),
        "data": Verb(
            "export embedded clips as video files",
            ("data export moving_shapes --to runs/videos",
             "data export moving_shapes --to runs/order --task order --num-train 512"),
        ),
        "weights": Verb(
            "import a file of weights into a sweep's model and print what was loaded",
            ("weights vit.safetensors --for sweeps/paper_table3.yaml",
             "weights vit.safetensors --for sweeps/paper_table3.yaml --set weights.layout=vit_npz"),
        ),
        "schema": Verb(
            "print the JSON Schema of sweep files, for editors", ("schema > schema.json", "schema --variants mine")
        ),
    },
    "cluster": {
        "doctor": Verb(
            "check this machine and the cluster, or verify a run, and say what to do",
            ("doctor sweeps/window_size.yaml --wait 5m", "doctor runs/window_size"),
        ),
        "logs": Verb(
            "print what a trial and its cluster job wrote",
            ("logs runs/window_size 397cdb01326a", "logs runs/window_size 397c --follow"),
        ),
        "cancel": Verb(
            "end the cluster jobs of a run, or of a part of it; what is done stays",
            ("cancel runs/window_size", "cancel runs/window_size --only variant.temporal_window=3 --only seed=0"),
        ),
    },
}  # fmt: skip
#: what the program starts by itself
HIDDEN: dict[str, Verb] = {
    "worker": Verb("run one trial (started by launchers)"),
    "job": Verb("run the trials of one cluster job (started by the cluster)"),
    "server": Verb("fork workers for a sweep (started by the sweep)"),
    "probe": Verb("run one measurement (started by bench and frontier)"),
}
#: every verb that people use
SHOWN: dict[str, Verb] = {name: verb for group in GROUPS.values() for name, verb in group.items()}


def overview() -> str:
    """The verbs in their groups, as `--help` shows them."""
    width = max(map(len, SHOWN))
    lines = []
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {name:{width}s}  {verb.summary}" for name, verb in verbs.items())]
    return "\n".join(lines[1:])
