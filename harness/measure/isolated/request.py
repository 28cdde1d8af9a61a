"""One measurement in a subprocess: a request in, an answer out, both plain values.

`bench`, `frontier` and the batch finder start these. A failure becomes a status: a process that ran out of memory
answers `oom` with the size of the failed allocation, and the caller continues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from harness.measure.failure import requested_bytes, verdict
from harness.record import RecordModel

if TYPE_CHECKING:
    from harness.sweep.schema import TrialConfig

Kind = Literal["time", "memory", "predict", "compare", "peak"]
Mode = Literal["inference", "train_step"]


class MeasurementRequest(RecordModel):
    """What to measure. `configs`: label -> resolved configuration (`harness.sweep.schema.TrialConfig`)."""

    kind: Kind
    configs: dict[str, dict[str, Any]]
    mode: Mode = "inference"
    batch_size: int | None = Field(None, description="clips; default: the configuration's measure.batch_size")
    min_samples: int = 30
    max_seconds: float = 2.0
    num_blocks: int = Field(10, description="compare: ABBA blocks")
    visit_seconds: float = Field(0.05, description="compare: time spent on a row at each of its turns")
    seed: int = Field(0, description="compare: order of the rows")
    compile: str | None = Field(None, description="torch.compile backend; None: eager")
    compile_cache: str | None = Field(None, description="folder of the compiler's cache; None: the user's own")
    memory_limit_mib: int | None = None
    variant_dirs: list[str] = Field(default_factory=list)


class MeasurementAnswer(RecordModel):
    """Result of a request: `values` depend on its kind, and are empty unless `status` is done."""

    status: str
    message: str = ""
    requested_bytes: int | None = Field(None, description="size of the failed allocation")
    values: dict[str, Any] = Field(default_factory=dict)


def answer(request: MeasurementRequest) -> MeasurementAnswer:
    """Measure in this process; a failure is an answer too."""
    try:
        return MeasurementAnswer(status="done", values=_KINDS[request.kind](request))
    except Exception as error:  # the boundary of the process
        status, message = verdict(error)
        return MeasurementAnswer(status=status, message=message, requested_bytes=requested_bytes(message))


def _trial(config: Mapping[str, Any], request: MeasurementRequest) -> TrialConfig:
    import torch

    from harness.measure.memory.tensors import limit_memory
    from harness.sweep.schema import TrialConfig

    trial = TrialConfig(**config)
    torch.set_num_threads(trial.train.num_threads)
    if request.memory_limit_mib is not None:
        limit_memory(request.memory_limit_mib * 2**20)
    return trial


def _call(trial: TrialConfig, request: MeasurementRequest) -> tuple[Callable[[], object], int]:
    """Return the call to measure and its batch size. Weights are initial ones: no cost depends on them."""
    import torch

    from harness.measure.costs import inference_call, random_batch, train_step_call

    batch_size = request.batch_size or trial.measure.batch_size
    model, labels = build(trial, request.variant_dirs)
    model = model.to(trial.train.device)
    batch = random_batch(trial, labels, batch_size, trial.train.device)
    if request.compile is not None:
        model = torch.compile(model, backend=request.compile)
    make = inference_call if request.mode == "inference" else train_step_call
    return make(model, trial, batch), batch_size


def build(trial: TrialConfig, variant_dirs: list[str]) -> tuple[Any, dict[str, int]]:
    """Build the model of a trial; return it with label -> classes. Raises: UserError for what the variant refuses."""
    import torch

    from harness.data import open_split
    from harness.errors import Fault, UserError
    from harness.model.video_transformer import VideoTransformer, make_variant

    folders = [Path(folder) for folder in variant_dirs]
    variant = make_variant(trial.variant, trial.model, trial.global_tokens, folders)
    faults = [Fault("", path, message) for path, message in variant.validate()]
    if faults:
        raise UserError(faults)
    labels = dict(open_split(trial.data, trial.model, "test", trial.seed).labels)
    torch.manual_seed(trial.seed)
    model = VideoTransformer(trial.model, variant, trial.readout, labels)
    if trial.train.activation_checkpointing:
        model.checkpoint_activations()
    return model, labels


def _single(request: MeasurementRequest) -> TrialConfig:
    (config,) = request.configs.values()
    return _trial(config, request)


def _time(request: MeasurementRequest) -> dict[str, Any]:
    """Return a `Timing` as a dictionary, with the state of the machine before it."""
    from harness.measure.machine.preflight import preflight
    from harness.measure.time.latency import time_call

    trial = _single(request)
    state = preflight(trial.train.num_threads, trial.train.device)
    call, batch_size = _call(trial, request)
    limits: dict[str, Any] = {"min_samples": request.min_samples, "max_seconds": request.max_seconds}
    timing = time_call(call, batch_size=batch_size, device=trial.train.device, **limits)
    _check_finite(call())
    return {**timing.model_dump(), "preflight": state}


def _check_finite(result: object) -> None:
    """Raise NonFiniteLoss for a loss or logits that are not finite: such a measurement is not valid."""
    from torch import Tensor, isfinite
    from torch.utils._pytree import tree_iter

    from harness.train.loop import NonFiniteLoss

    if not all(bool(isfinite(item).all()) for item in tree_iter(result) if isinstance(item, Tensor)):
        raise NonFiniteLoss("the loss or the logits are not finite")


def _memory(request: MeasurementRequest) -> dict[str, Any]:
    from harness.measure.memory.process import measured_peak

    trial = _single(request)
    make = cache(partial(_call, trial, request))
    found = measured_peak(lambda: make()[0], trial.train.device)
    _check_finite(make()[0]())
    return found


def _predict(request: MeasurementRequest) -> dict[str, Any]:
    from harness.data import open_split
    from harness.measure.memory.predicted import predict_memory

    trial = _single(request)
    labels = open_split(trial.data, trial.model, "test", trial.seed).labels
    folders = [Path(folder) for folder in request.variant_dirs]
    predicted = predict_memory(trial, labels, batch_size=request.batch_size, variant_dirs=folders)
    peak = predicted.inference_peak_bytes if request.mode == "inference" else predicted.train_step_peak_bytes
    return {"peak_bytes": peak, "parts": predicted.model_dump()}


def _compare(request: MeasurementRequest) -> dict[str, Any]:
    from harness.measure.machine.preflight import preflight
    from harness.measure.time.energy import joules_per_clip
    from harness.measure.time.interleave import interleave

    trials = {label: _trial(config, request) for label, config in request.configs.items()}
    first = next(iter(trials.values()))
    state = preflight(first.train.num_threads, first.train.device)
    if request.compile is not None:
        _load_compiler(request.compile, first.train.device)
    made = {label: cache(partial(_call, trial, request)) for label, trial in trials.items()}
    visits, first_calls = interleave(
        {label: lambda make=make: make()[0] for label, make in made.items()},  # type: ignore[misc]
        num_blocks=request.num_blocks, visit_seconds=request.visit_seconds, seed=request.seed,
        device=first.train.device,
    )  # fmt: skip
    return {
        "visits": [visit.model_dump() for visit in visits],
        "first_calls_ms": first_calls,
        "energy": {label: joules_per_clip(*make(), first.train.device) for label, make in made.items()},
        "preflight": state,
    }


def _load_compiler(backend: str, device: str) -> None:
    """Load the compiler with a small layer, so that the first row does not include that time."""
    import torch

    layer = torch.nn.Linear(4, 4, device=device)
    torch.compile(layer, backend=backend)(torch.ones(2, 4, device=device)).sum().backward()


def _peak(request: MeasurementRequest) -> dict[str, Any]:
    from harness.measure.time.machine_peak import measure_peak

    trial = _single(request)
    return measure_peak(trial.train.precision, trial.train.device).model_dump()


_KINDS: Mapping[str, Callable[[MeasurementRequest], dict[str, Any]]] = {
    "time": _time, "memory": _memory, "predict": _predict, "compare": _compare, "peak": _peak,
}  # fmt: skip
