"""The two stages of a trial: training with evaluation and counting, then measuring on a quiet machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.store import TrialFolder
from harness.worker import ranks
from harness.worker.exit_codes import EXIT_DONE, EXIT_FAILED, EXIT_PREEMPTED
from harness.worker.pruning import Pruned, append_report, prune_file
from harness.worker.reporter import Reporter
from harness.worker.signals import StopRequest

if TYPE_CHECKING:
    from harness.data import ClipSource
    from harness.model.video_transformer import VideoTransformer
    from harness.record import Costs, Record, Score
    from harness.sweep.schema import TrialConfig
    from harness.train.checkpoint import Progress
    from harness.train.distributed import Group

MAX_CURVE_POINTS = 500


def _config(folder: TrialFolder) -> tuple[TrialConfig, dict[str, Any]]:
    """The trial's configuration, and what the launcher adds that cannot change a result."""
    from pydantic import ValidationError

    from harness.sweep.schema import TrialConfig

    content = folder.config()
    try:
        return TrialConfig(**content["trial"]), content["launch"]
    except (KeyError, TypeError, ValidationError) as error:
        raise UserError(f"{folder.config_file}: not a trial's configuration: {error}") from error


def _variant_dirs(launch: dict[str, Any]) -> list[Path]:
    """Folders with variant files beside our own."""
    return [Path(folder) for folder in launch["variant_dirs"]]


def _code(trial: TrialConfig, launch: dict[str, Any]) -> str:
    """Identity of the code that runs here."""
    from harness.code_identity import code_identity
    from harness.registry import variant_file

    return code_identity(variant_file(trial.variant["name"], _variant_dirs(launch)))


def _build(trial: TrialConfig, launch: dict[str, Any]) -> tuple[VideoTransformer, dict[str, ClipSource]]:
    """The model, initialised from the seed and then from a file of weights if there is one, and the three splits."""
    import torch

    from harness.data import SPLITS, data_identity, open_split
    from harness.measure.memory.tensors import limit_memory
    from harness.model.video_transformer import VideoTransformer

    if launch.get("memory_limit_mib"):
        limit_memory(launch["memory_limit_mib"] * 2**20)
    torch.set_num_threads(trial.train.num_threads)
    if trial.train.device == "cuda":  # the CPU's operators repeat their bits for a fixed number of threads as it is
        torch.use_deterministic_algorithms(True, warn_only=True)
    if data_identity(trial.data) != launch["data_identity"]:
        raise UserError("the data changed since the sweep was planned; run the sweep command again: it plans anew")
    sources = {split: open_split(trial.data, trial.model, split, trial.seed) for split in SPLITS}
    torch.manual_seed(trial.seed)
    model = VideoTransformer.of(trial, sources["train"].labels, _variant_dirs(launch))
    if trial.weights is not None:
        from harness.model.weights.apply import import_weights

        print(import_weights(model, trial.model, trial.weights).text(), flush=True)
    if trial.train.activation_checkpointing:
        model.checkpoint_activations()
    return model.to(trial.train.device), sources  # type: ignore[return-value]


def _train(
    folder: TrialFolder,
    group: Group,
    on_progress: Callable[[Progress], None],
    stop: StopRequest,
    looking: bool = False,
) -> tuple[VideoTransformer, dict[str, ClipSource], Progress]:
    """What all ranks of a trial do alike: they build, and train together. One is `looking`: it reports to a search.

    Raises: Interrupted.
    """
    from harness.train.loop import Saving, Watching, train

    trial, launch = _config(folder)
    model, sources = _build(trial, launch)
    group.seed(trial.seed)
    every = launch.get("report_every_steps") if looking else None
    report = _report(folder, model, sources["val"], trial) if every else None
    saving = Saving(folder.checkpoint_file, launch["checkpoint_every_steps"], _code(trial, launch))
    watching = Watching(on_progress, stop, report, every or 0)
    progress = train(model, sources["train"], trial.train, trial.seed, saving, watching, group)
    return model, sources, progress


def follow(folder: TrialFolder, rank: int, rendezvous: Path, stop: StopRequest) -> int:
    """Trains as another rank than the first: nothing is written, evaluated or measured.

    Asked to stop, it has done its part: rank 0 saves meanwhile, and must not be ended by an exit code of ours.
    """
    from harness.train.loop import Interrupted

    if folder.record() is not None:
        return EXIT_DONE
    trial, _ = _config(folder)
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
        return _conclude(reporter, record, by_another=True)  # while this one waited for the trial
    trial, launch = _config(folder)
    reporter.status.num_steps = trial.train.num_steps
    try:
        with ranks.leading(folder, trial, rendezvous, reporter.end) as group:
            model, sources, progress = _train(folder, group, _watched(folder, reporter), stop, looking=True)
    except Interrupted:
        reporter.end("preempted", f"stopped on request at step {reporter.status.step}")
        return EXIT_PREEMPTED
    except Pruned as pruned:
        reporter.end("pruned", str(pruned))
        return EXIT_FAILED
    print(f"trained to step {progress.step} in {progress.duration_s:.0f} s, loss {_last_loss(progress)}", flush=True)
    # a search must not see the test split: its trials have no score on it
    scores = {split: evaluate(model, sources[split], trial.train) for split in launch.get("splits", ("val", "test"))}
    costs = planned_costs(trial.model_dump(), _variant_dirs(launch), backward=True, memory=True)
    record = _record(folder.trial_id, trial, launch, progress, scores, costs)
    reporter.ensure_ours()
    folder.write_record(record)
    print(", ".join(_score_lines(scores)), flush=True)
    return _conclude(reporter, record)


def _last_loss(progress: Progress) -> str:
    return f"{progress.loss_curve[-1][1]:.4g}" if progress.loss_curve else "-"


def _score_lines(scores: Mapping[str, Mapping[str, Score]]) -> list[str]:
    """Top-1 of each label on each split, for the log."""
    return [f"{split} {label} top-1 {score.top1:.1%}" for split, of in scores.items() for label, score in of.items()]


def _conclude(reporter: Reporter, record: Record, *, by_another: bool = False) -> int:
    """Lets the status say what the record holds, whoever wrote it."""
    if record.costs.timings is None:
        reporter.end("queued", "trained; to be measured", by_another=by_another)
    else:
        reporter.status.code = record.code or ""
        reporter.end("done", by_another=by_another)
    return EXIT_DONE


def _watched(folder: TrialFolder, reporter: Reporter) -> Callable[[Progress], None]:
    """Notes progress; ends the trial early where a search asked for it."""

    def note(progress: Progress) -> None:
        reporter.on_progress(progress)
        if prune_file(folder).exists():
            raise Pruned(f"stopped early by the search at step {progress.step}")

    return note


def _report(
    folder: TrialFolder, model: VideoTransformer, source: ClipSource, trial: TrialConfig
) -> Callable[[int], None]:
    """A look at the validation split in the midst of training."""
    from harness.train.evaluate import evaluate

    def look(step: int) -> None:
        scores = evaluate(model, source, trial.train)
        append_report(folder, step, {label: (score.top1_correct, score.total) for label, score in scores.items()})

    return look


def _record(
    trial_id: str, trial: TrialConfig, launch: dict[str, Any], progress: Progress, scores: Any, costs: Costs
) -> Record:
    from harness.data import ceilings
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
        proven=is_proven(variant_file(trial.variant["name"], _variant_dirs(launch)), code),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def measure_stage(folder: TrialFolder, reporter: Reporter, stop: StopRequest, alone: bool) -> int:
    """Adds memory and timings to the record of a trained trial.

    Asked to stop, it adds nothing: its launcher may be dead, and the next one at work beside it already.
    """
    from harness.measure.costs import measure_memory, measure_timings
    from harness.measure.machine.environment import environment

    record = folder.record()
    if record is None:
        raise UserError(f"{folder.path}: nothing to measure, the trial has no record yet")
    if record.costs.timings is not None:
        return _conclude(reporter, record, by_another=True)  # while this one waited for the trial
    trial, launch = _config(folder)
    model, sources = _build(trial, launch)
    record.costs.environment = environment(trial.train.device)
    record.costs.memory = measure_memory(model, trial, sources["train"].labels)
    record.costs.timings = measure_timings(model, trial, sources["train"].labels, alone=alone)
    if stop():
        reporter.end("preempted", "stopped on request; to be measured")
        return EXIT_PREEMPTED
    reporter.ensure_ours()
    folder.write_record(record)
    return _conclude(reporter, record)
