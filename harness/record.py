"""Schema of `record.json`: what one trial found.

The worker of the trial writes the record and reports read it; nothing else passes between the two. Numbers
carry their unit in the field's name, raw samples stay with the statistics that are computed from them, and what
was not measured is None, never 0.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

#: of all files that this program writes; files of older versions stay readable
SCHEMA_VERSION = 2

STATUSES = (
    "pending", "queued", "running",
    "done", "failed", "oom", "timeout", "nan", "killed", "preempted", "lost", "invalid", "pruned",
)  # fmt: skip
OPEN_STATUSES = ("pending", "queued", "running", "preempted", "lost")
FINAL_STATUSES = tuple(status for status in STATUSES if status not in OPEN_STATUSES)


class RecordModel(BaseModel):
    """Base of all models that are stored as JSON."""

    model_config = ConfigDict(extra="forbid")


class Score(RecordModel):
    """Correct answers of one label on one split. `top5_correct` is None where there are fewer than six classes."""

    top1_correct: int
    top5_correct: int | None
    total: int

    @property
    def top1(self) -> float:
        """Return the top-1 accuracy as a fraction."""
        return self.top1_correct / self.total


MacsStatus = Literal["exact", "lower_bound", "disagrees"]


class BackwardMacs(RecordModel):
    """Multiply-accumulates of the backward pass of one clip: gradients of all parameters, attention in plain form.

    Nothing is recomputed. `status`: exact (count and rule agree and no op is uncounted), lower_bound, disagrees. The
    rule: a product costs its forward pass again for each of its two factors that needs a gradient.
    """

    status: MacsStatus
    macs_per_view: int = Field(description="counted by FlopCounterMode in a backward pass on the meta device")
    rule_macs: int = Field(description="by the rule, from the graph of the forward pass")
    one_sided_macs: int = Field(description="forward MACs of products of which one factor needs a gradient")
    no_gradient_macs: int | None = Field(description="forward MACs of products that no gradient passes through")
    uncounted_ops: dict[str, int] = Field(default_factory=dict)


class MacsCount(RecordModel):
    """Multiply-accumulates of one clip, forward, counted three ways.

    `status`: exact (all available counts agree and no op is uncounted), lower_bound (an op of unknown cost was called),
    disagrees (the counts differ). `macs_per_view` is the fvcore count. Every op that was called is in exactly one of
    `counted_ops`, `zero_ops` and `uncounted_ops`.
    """

    status: MacsStatus
    macs_per_view: int
    flop_counter_macs: int | None
    closed_form_macs: int | None = Field(description="None for a module that has none")
    attention_macs: int = Field(description="of products of two computed tensors: scores and weighted sums")
    useful_macs: int | None = Field(None, description="without (query, key) pairs that are computed and then masked")
    counted_ops: dict[str, int] = Field(default_factory=dict, description="op -> its MACs")
    zero_ops: dict[str, int] = Field(default_factory=dict, description="op without a product -> calls")
    uncounted_ops: dict[str, int] = Field(default_factory=dict, description="op of unknown cost -> calls")
    backward: BackwardMacs | None = None

    @property
    def attention_share(self) -> float:
        """Return the share of attention in the multiply-accumulates, as a fraction."""
        return self.attention_macs / self.macs_per_view if self.macs_per_view else 0.0


class Timing(RecordModel):
    """One timed call: all samples in milliseconds, in the order of measurement."""

    batch_size: int
    samples_ms: list[float]
    median_ms: float
    median_low_ms: float = Field(description="bootstrap 95 % interval of the median")
    median_high_ms: float
    unstable: bool = Field(description="interquartile range over median above 5 %, or a drift over the run")
    iqr_ms: float | None = Field(None, description="interquartile range of the samples")
    p95_ms: float | None = Field(None, description="95th percentile of the samples")
    freed_memory_kept: bool | None = Field(None, description="CPU: what was freed was kept, no page faulted in twice")
    first_call_ms: float | None = Field(None, description="the very first call, which is no sample")

    @property
    def clips_per_s(self) -> float:
        """Return the throughput at this batch size."""
        return 1e3 * self.batch_size / self.median_ms


class PredictedMemory(RecordModel):
    """Peak memory predicted from shapes and lifetimes alone, and the parts of the training step's peak."""

    batch_size: int
    inference_peak_bytes: int
    train_step_peak_bytes: int
    parameter_bytes: int = Field(description="parameters and buffers")
    gradient_bytes: int
    optimizer_bytes: int
    batch_bytes: int = Field(description="clips and labels")
    activation_bytes: int = Field(description="alive at the end of the forward pass in addition to the above")
    temporary_bytes: int = Field(description="the rest of the peak of the training step")


class MeasuredMemory(RecordModel):
    """Peak memory of inference and of a training step with `batch_size` clips."""

    batch_size: int
    method: str = Field(description="how the peaks were obtained")
    inference_peak_bytes: int
    train_step_peak_bytes: int
    process_peak_bytes: int | None = Field(description="high-water mark of the measuring process, libraries included")
    reserved_peak_bytes: int | None = Field(None, description="memory that CUDA's caching allocator reserved")


class Timings(RecordModel):
    """Times, measured on an otherwise idle machine after all training."""

    latency: Timing = Field(description="inference, one clip")
    inference: Timing = Field(description="inference, a batch")
    train_step: Timing = Field(description="forward, backward, update, a batch")
    alone: bool = Field(description="no other trial of this sweep ran at the same time")
    preflight: dict[str, Any] | None = Field(None, description="state of the machine just before; `dirty` lists faults")
    noise_probe_ms: float | None = Field(  # reference_*: names in older records
        None, validation_alias=AliasChoices("noise_probe_ms", "reference_ms"),
        description="a fixed piece of work between the timings, median; None: on a GPU",
    )  # fmt: skip
    noise_probe_work: str | None = Field(
        None, validation_alias=AliasChoices("noise_probe_work", "reference_work"),
        description="the work of the noise probe; times of other work are not comparable",
    )  # fmt: skip
    energy_j_per_clip: float | None = Field(
        None, description="of inference of a batch, joules; None: this machine has no meter"
    )
    energy_source: str | None = Field(None, description="rapl or nvml; whole package or GPU, idle power included")


class Costs(RecordModel):
    """Costs of the configuration: counted, predicted, measured."""

    num_parameters: int
    macs: MacsCount
    num_views: int
    macs_per_video: int
    environment: dict[str, Any] | None = Field(None, description="where memory and time were measured")
    num_frames: int | None = Field(None, description="frames of a clip")
    num_tokens: int | None = Field(None, description="patches or tubelets of a clip that enter the encoder")
    predicted_memory: PredictedMemory | None = Field(None, description="peak memory, predicted without running")
    memory: MeasuredMemory | None = None
    timings: Timings | None = None

    @model_validator(mode="before")
    @classmethod
    def _lift_prediction(cls, content: Any) -> Any:
        """Read early records, which kept the prediction inside the measured memory."""
        memory = content.get("memory") if isinstance(content, dict) else None
        if not isinstance(memory, dict) or "predicted" not in memory:
            return content
        rest = {name: value for name, value in memory.items() if name != "predicted"}
        return {"predicted_memory": memory["predicted"], **content, "memory": rest}

    @property
    def macs_per_frame(self) -> float | None:
        """Return the multiply-accumulates of a view divided by the frames of its clip."""
        return self.macs.macs_per_view / self.num_frames if self.num_frames else None

    @property
    def macs_per_token(self) -> float | None:
        """Return the multiply-accumulates of a view divided by the patches or tubelets that enter the encoder."""
        return self.macs.macs_per_view / self.num_tokens if self.num_tokens else None


class Training(RecordModel):
    """Course of the training."""

    num_steps: int
    final_loss: float | None
    loss_curve: list[tuple[int, float]] = Field(description="(step, training loss), subsampled")
    duration_s: float = Field(description="time spent in training steps, over all resumptions")
    num_resumes: int


class Record(RecordModel):
    """One finished trial."""

    schema_version: int = SCHEMA_VERSION
    trial_id: str
    config: dict[str, Any]
    seed: int
    data_identity: str
    scores: dict[str, dict[str, Score]] = Field(description="split -> label -> score")
    ceilings: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="kind of model -> label -> best accuracy it can reach on the test split"
    )
    training: Training
    costs: Costs
    environment: dict[str, Any]
    code: str | None = Field(
        None,
        description="identity of the code that trained it, see harness.code_identity; A+B if it changed meanwhile",
    )
    proven: bool | None = Field(None, description="`check` had passed for this code; None: not noted in older records")
    finished_at: str
