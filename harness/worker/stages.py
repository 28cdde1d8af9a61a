"""The two stages of a trial: training with evaluation and counting, then measuring on a quiet machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.store import TrialFolder
from harness.worker import ranks
from harness.worker.pruning import Pruned, append_report, prune_file
from harness.worker.reporter import Reporter
from harness.worker.setup import build, code_of, trial_of, variant_dirs
from harness.worker.signals import EXIT_DONE, EXIT_FAILED, EXIT_PREEMPTED, StopRequest

if TYPE_CHECKING:
    from harness.data import ClipSource
    from harness.model.video_transformer import VideoTransformer
    from harness.record import Costs, Record, Score
    from harness.sweep.schema import TrialConfig
    from harness.train.checkpoint import Progress
    from harness.train.distributed import Group

MAX_CURVE_POINTS = 500


def _train(
    folder: TrialFolder,
    group: Group,
    on_progress: Callable[[Progress], None],
    stop: StopRequest,
    reporter: Reporter | None = None,
) -> tuple[VideoTransformer, dict[str, ClipSource], Progress]:
    """Builds and trains the model, as every rank of a trial does. With `reporter` (rank 0), also reports to a search.

    Raises: Interrupted.
    """
    from harness.train.loop import CheckpointPolicy, TrainingHooks, train

    trial, launch = trial_of(folder)
    model, sources = build(trial, launch, stop.alive)
    for source in sources.values():
        source.alive = stop.alive
    group.seed(trial.seed)
    every = launch.get("report_every_steps") if reporter else None
    report = _report(folder, model, sources["val"], trial, stop.alive) if every else None
    code = code_of(trial, launch)
    saving = CheckpointPolicy(folder.checkpoint_file, launch["checkpoint_every_steps"], code, folder.trial_id)
    hooks = TrainingHooks(on_progress, stop, report, every or 0, reporter.note if reporter else print)
    progress = train(model, sources["train"], trial.train, trial.seed, saving, hooks, group)
    return model, sources, progress


def follow(folder: TrialFolder, rank: int, rendezvous: Path, stop: StopRequest) -> int:
    """Trains as a rank other than 0: writes, evaluates and measures nothing.

    Exits without an error when it is asked to stop: an error would end rank 0, which saves meanwhile.
    """
    from harness.train.loop import Interrupted

    if folder.record() is not None:
        return EXIT_DONE
    trial, _ = trial_of(folder)
    ranks.check_rank(rank, trial)
    try:
        with ranks.following(trial, rank, rendezvous) as group:
            _train(folder, group, lambda progress: None, stop)
    except Interrupted:
        print(f"rank {rank}: stopped on request", flush=True)
    return EXIT_DONE


def train_stage(folder: TrialFolder, reporter: Reporter, stop: StopRequest, rendezvous: Path | None = None) -> int:
    """Trains, evaluates and writes the record without timings. `rendezvous`: see `harness.worker.run`."""
    from harness.measure.count.planned import planned_costs
    from harness.train.evaluate import evaluate
    from harness.train.loop import Interrupted

    record = folder.record()
    if record is not None:
        return _conclude(reporter, record, by_another=True)  # while this worker waited for the trial
    trial, launch = trial_of(folder)
    reporter.status.num_steps = trial.train.num_steps
    try:
        with ranks.leading(folder, trial, rendezvous, reporter.end) as group:
            model, sources, progress = _train(folder, group, _progress_noted(folder, reporter), stop, reporter)
    except Interrupted:
        reporter.end("preempted", f"stopped on request at step {reporter.status.step}")
        return EXIT_PREEMPTED
    except Pruned as pruned:
        reporter.end("pruned", str(pruned))
        return EXIT_FAILED
    print(f"trained to step {progress.step} in {progress.duration_s:.0f} s, loss {_last_loss(progress)}", flush=True)
    # a search must not see the test split: its trials have no score on it
    splits = launch.get("splits", ("val", "test"))
    scores = {split: evaluate(model, sources[split], trial.train, reporter.alive) for split in splits}
    reporter.alive("stage")
    costs = planned_costs(trial.model_dump(), variant_dirs(launch), backward=True, memory=True)
    record = _record(folder.trial_id, trial, launch, progress, scores, costs)
    reporter.ensure_ours()
    folder.write_record(record)
    folder.checkpoint_files[1].unlink(missing_ok=True)  # the newest one stays, for those who want the weights
    print(", ".join(_score_lines(scores)), flush=True)
    return _conclude(reporter, record)


def _last_loss(progress: Progress) -> str:
    return f"{progress.loss_curve[-1][1]:.4g}" if progress.loss_curve else "-"


def _score_lines(scores: Mapping[str, Mapping[str, Score]]) -> list[str]:
    """Returns the top-1 accuracy of each label on each split, for the log."""
    return [f"{split} {label} top-1 {score.top1:.1%}" for split, of in scores.items() for label, score in of.items()]


def _conclude(reporter: Reporter, record: Record, *, by_another: bool = False) -> int:
    """Writes the status that fits the record. `by_another`: another worker wrote the record."""
    if record.costs.timings is None:
        reporter.end("queued", "trained; to be measured", by_another=by_another)
    else:
        reporter.status.code = record.code or ""
        reporter.end("done", by_another=by_another)
    return EXIT_DONE


def _progress_noted(folder: TrialFolder, reporter: Reporter) -> Callable[[Progress], None]:
    """Returns a callback that notes progress, and ends the trial early where a search asks for it."""

    def note(progress: Progress) -> None:
        reporter.on_progress(progress)
        if prune_file(folder).exists():
            raise Pruned(f"stopped early by the search at step {progress.step}")

    return note


def _report(
    folder: TrialFolder, model: VideoTransformer, source: ClipSource, trial: TrialConfig, alive: Callable[[str], None]
) -> Callable[[int], None]:
    """Returns a callback that evaluates on the validation split during training."""
    from harness.train.evaluate import evaluate

    def report(step: int) -> None:
        scores = evaluate(model, source, trial.train, alive)
        append_report(folder, step, {label: (score.top1_correct, score.total) for label, score in scores.items()})

    return report


def _record(
    trial_id: str, trial: TrialConfig, launch: dict[str, Any], progress: Progress, scores: Any, costs: Costs
) -> Record:
    from harness.data import ceilings
    from harness.data.sets import data_sets
    from harness.measure.machine.environment import environment
    from harness.proofs import is_proven
    from harness.record import Record, Training
    from harness.registry import variant_file

    curve, code = progress.loss_curve, "+".join(progress.codes)
    thinned = curve[:: -(-len(curve) // MAX_CURVE_POINTS)] if curve else []
    return Record(
        trial_id=trial_id,
        config=trial.model_dump(),
        seed=trial.seed,
        data_identity=launch["data_identity"],
        location_fields=sorted(data_sets()[trial.data.name].location_fields),
        scores=scores,
        ceilings=ceilings(trial.data),
        training=Training(
            num_steps=progress.step,
            final_loss=curve[-1][1] if curve else None,
            loss_curve=thinned,
            duration_s=progress.duration_s,
            num_resumes=progress.num_resumes,
        ),
        costs=costs,
        environment=environment(trial.train.device),
        code=code,
        proven=is_proven(variant_file(trial.variant["name"], variant_dirs(launch)), code),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def measure_stage(folder: TrialFolder, reporter: Reporter, stop: StopRequest, alone: bool) -> int:
    """Adds memory and timings to the record of a trained trial.

    Adds nothing if it is asked to stop: its launcher may be gone, and the next one may be at work already.
    """
    from harness.measure.costs import measure_memory, measure_timings
    from harness.measure.machine.environment import environment
    from harness.measure.metrics import measure_metrics

    record = folder.record()
    if record is None:
        raise UserError(f"{folder.path}: nothing to measure, the trial has no record yet")
    if record.costs.timings is not None:
        return _conclude(reporter, record, by_another=True)  # while this worker waited for the trial
    trial, launch = trial_of(folder)
    model, sources = build(trial, launch, reporter.alive)
    code = code_of(trial, launch)
    if record.code and code not in record.code.split("+"):  # edited between training and measuring
        record.code += f"+{code}"
    record.costs.environment = environment(trial.train.device)
    record.costs.memory = measure_memory(model, trial, sources["train"].labels)
    reporter.alive("stage")
    record.costs.timings = measure_timings(model, trial, sources["train"].labels, alone, reporter.alive)
    reporter.alive("stage")
    measure_metrics(record.costs, model, trial, sources["train"].labels)
    if stop():
        reporter.end("preempted", "stopped on request; to be measured")
        return EXIT_PREEMPTED
    reporter.ensure_ours()
    folder.write_record(record)
    return _conclude(reporter, record)
