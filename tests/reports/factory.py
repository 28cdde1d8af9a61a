"""Synthetic runs for tests of reports: records that a worker could have written, made from a few numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.record import Costs, MacsCount, MeasuredMemory, Record, Score, Timing, Timings, Training
from harness.store import Store, TrialFolder, TrialStatus
from harness.store.identity import ids_of_record
from harness.store.load import LoadedRun
from harness.store.plan_file import PlanFile, PlannedRow
from harness.store.sealed import seal

ENVIRONMENT = {
    "python": "3.11.9", "torch": "2.11.0", "platform": "Linux-x86_64", "cpu_model": "AMD EPYC 7R13", "gpu": None,
    "num_threads": 1, "sdpa_backend": "math", "git_commit": "0123456789abcdef", "git_dirty": False,
    "hostname_hash": "a1b2c3",
}  # fmt: skip


def timing(median_ms: float, batch_size: int = 1, *, unstable: bool = False) -> Timing:
    samples = [median_ms * factor for factor in (0.99, 1.0, 1.01)]
    return Timing(
        batch_size=batch_size, samples_ms=samples, median_ms=median_ms, median_low_ms=samples[0],
        median_high_ms=samples[2], unstable=unstable,
    )  # fmt: skip


def make_costs(macs: int, latency_ms: float, memory_mib: float) -> Costs:
    return Costs(
        num_parameters=61_234,
        macs=MacsCount(
            status="exact",
            macs_per_view=macs,
            flop_counter_macs=macs,
            closed_form_macs=macs,
            attention_macs=macs // 9,
        ),
        num_views=1,
        macs_per_video=macs,
        memory=MeasuredMemory(
            batch_size=16,
            method="allocator",
            inference_peak_bytes=int(memory_mib * 2**20 / 3),
            train_step_peak_bytes=int(memory_mib * 2**20),
            process_peak_bytes=None,
        ),
        timings=Timings(
            latency=timing(latency_ms),
            inference=timing(latency_ms * 9, 16),
            train_step=timing(latency_ms * 30, 16),
            alone=True,
        ),
    )


def make_record(
    trial_id: str = "t0",
    seed: int = 0,
    correct: dict[str, int] | None = None,
    *,
    total: int = 2000,
    top5: int | None = None,
    macs: int = 10_000_000,
    latency_ms: float = 4.0,
    memory_mib: float = 40.0,
    ceilings: dict[str, dict[str, float]] | None = None,
    config: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
) -> Record:
    """One finished trial; `correct` maps labels to right answers of `total` on the test split."""
    scores = correct or {"verb": total // 2}
    base = {
        "data": {"name": "moving_shapes", "task": "motion"}, "model": {"size": "demo"}, "seed": seed,
        "train": {"num_steps": 600, "batch_size": 64, "precision": "fp32", "device": "cpu", "num_threads": 1},
        "measure": {"batch_size": 16},
    }  # fmt: skip
    return Record(
        trial_id=trial_id,
        config=base | (config or {}),
        seed=seed,
        data_identity="moving_shapes:motion:0",
        scores={"test": {k: Score(top1_correct=v, top5_correct=top5, total=total) for k, v in scores.items()}},
        ceilings=ceilings or {},
        training=Training(
            num_steps=600, final_loss=0.4, loss_curve=[(0, 2.1), (600, 0.4)], duration_s=60, num_resumes=0
        ),
        costs=make_costs(macs, latency_ms, memory_mib),
        environment=ENVIRONMENT | (environment or {}),
        finished_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def make_row(row_id: str, label: str, values: dict[str, Any], seeds: Iterable[int] = range(4)) -> PlannedRow:
    return PlannedRow(row_id=row_id, label=label, values=values, trials={str(s): f"{row_id}-s{s}" for s in seeds})


def make_run(
    rows: Sequence[PlannedRow],
    records: Iterable[Record],
    *,
    axes: Sequence[str] = ("variant.temporal_window",),
    statuses: dict[str, tuple[str, str]] | None = None,
    baseline: str | None = None,
    question: str = "How far in time must a key look, and what does it cost?",
) -> LoadedRun:
    plan = PlanFile(sweep="window_size", question=question, axes=list(axes), baseline_row=baseline, rows=list(rows))
    found = {record.trial_id: record for record in records}
    every = {trial: ("done" if trial in found else "pending", "") for row in rows for trial in row.trials.values()}
    return LoadedRun(plan, found, every | (statuses or {}))


def with_ids(run: LoadedRun) -> LoadedRun:
    """Returns a run whose ids are the hashes of its configurations, as those of a run on disk are."""
    rows, records, ids = [], {}, {}
    for row in run.plan.rows:
        trials = {}
        for seed, name in row.trials.items():
            given = run.records.get(name) or make_record(name)
            config = given.config | {"variant": {"name": "mixing", "row": row.row_id}, "seed": int(seed)}
            record = given.model_copy(update={"config": config, "seed": int(seed)})
            ids[row.row_id], trials[seed] = ids_of_record(record)
            ids[name] = trials[seed]
            if name in run.records:
                records[trials[seed]] = record.model_copy(update={"trial_id": trials[seed]})
        rows.append(row.model_copy(update={"row_id": ids[row.row_id], "trials": trials}))
    baseline = ids[run.plan.baseline_row] if run.plan.baseline_row else None
    plan = run.plan.model_copy(update={"rows": rows, "baseline_row": baseline})
    return LoadedRun(plan, records, {ids[name]: status for name, status in run.statuses.items()}, run.tuning)


def save(run: LoadedRun, folder: Path) -> Path:
    """Writes a run as the store does, with the ids of `with_ids`: the plan, and record and status of each trial."""
    run, store = with_ids(run), Store(folder)
    store.write_plan(run.plan)
    for trial_id, (status, message) in run.statuses.items():
        trial = store.trial(trial_id)
        trial.path.mkdir(parents=True, exist_ok=True)
        if trial_id in run.records:
            trial.write_record(run.records[trial_id])
        trial.write_status(TrialStatus(status, message))
    return folder


def saved_trial(folder: Path, row: int = 0, seed: int = 0) -> TrialFolder:
    """Returns the folder of a trial in a saved run."""
    store = Store(folder)
    return store.trial(store.plan().rows[row].trials[str(seed)])


def edit(path: Path, **changes: object) -> None:
    """Changes fields of a JSON file, with a seal that fits: as another program would have written it."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(seal.seal(content)), encoding="utf-8")


def window_run(num_seeds: int = 4, num_failed: int = 0) -> LoadedRun:
    """A window sweep t_w = 0..3 with a control row; the last `num_failed` trials ran out of memory."""
    generator = np.random.default_rng(0)
    design = [(0, "none", 0.50), (1, "none", 0.83), (2, "none", 0.915), (3, "none", 0.93), (0, "learned", 0.61)]
    rows, records = [], []
    for index, (window, position, verb) in enumerate(design):
        name = f"t_w = {window}" if position == "none" else "t_w = 0, positions"
        values = {"variant.temporal_window": window, "model.temporal_position": position}
        rows.append(make_row(f"r{index}", name, values, range(num_seeds)))
        for seed in range(num_seeds):
            shift = generator.normal(0, 0.012)
            noun = min(1.0, 0.96 + generator.normal(0, 0.006))
            right = {"verb": verb + shift, "noun": noun, "action": (verb + shift) * noun}
            records.append(make_record(
                f"r{index}-s{seed}", seed, {k: round(2000 * min(1.0, v)) for k, v in right.items()},
                macs=9_830_000 + 120_000 * window, latency_ms=3.1 + 0.3 * window + generator.normal(0, 0.05),
                memory_mib=38 + 2.5 * window,
                ceilings={"bag_of_frames": {"verb": 0.5, "noun": 1.0, "action": 0.5}},
            ))  # fmt: skip
    failed = [record.trial_id for record in records[len(records) - num_failed:]]  # fmt: skip
    statuses = dict.fromkeys(failed, ("oom", "CUDA out of memory while allocating 2.0 GiB"))
    kept = [record for record in records if record.trial_id not in statuses]
    axes = ("variant.temporal_window", "model.temporal_position")
    return make_run(rows, kept, axes=axes, statuses=statuses, baseline="r0")


VARIANTS = (
    ("spatial_only", 0.52, 1.0, 1.0), ("joint", 0.90, 6.1, 7.9), ("divided", 0.895, 1.62, 2.0),
    ("factorised_encoder", 0.80, 1.15, 1.2), ("factorised_self_attention", 0.85, 1.5, 1.9),
    ("factorised_dot_product", 0.87, 1.25, 1.7), ("mixing (t_w = 1)", 0.84, 1.0, 1.02),
    ("mixing (t_w = 3)", 0.925, 1.0, 1.03), ("trajectory", 0.935, 7.4, 12.0), ("local_window", 0.89, 2.1, 2.6),
    ("pooled (q 2x2)", 0.88, 0.71, 0.9), ("token_shift", 0.83, 1.0, 1.01),
)  # fmt: skip


def variants_run(num_seeds: int = 4) -> LoadedRun:
    """Twelve variants that differ a lot in cost, on one label with top-5 accuracy; one row never finished."""
    generator = np.random.default_rng(1)
    rows, records = [], []
    for index, (name, accuracy, cost, slow) in enumerate(VARIANTS):
        rows.append(make_row(f"v{index}", name, {"variant": {"name": name}}, range(num_seeds)))
        for seed in range(num_seeds):
            right = round(2000 * (accuracy + generator.normal(0, 0.011)))
            records.append(make_record(
                f"v{index}-s{seed}", seed, {"class": right}, top5=min(2000, right + 140),
                macs=round(70e9 * cost), latency_ms=18 * slow * (1 + generator.normal(0, 0.01)),
                memory_mib=2400 * (1 + 0.4 * cost),
            ))  # fmt: skip
    oom = ("oom", "CUDA out of memory while allocating 2.0 GiB")
    gone = dict.fromkeys((f"v8-s{seed}" for seed in range(num_seeds)), oom)
    kept = [record for record in records if record.trial_id not in gone]
    question = "Which way of exchanging information over time is worth its cost?"
    return make_run(rows, kept, axes=("variant",), statuses=gone, baseline="v0", question=question)
