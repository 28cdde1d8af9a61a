"""Schema of `record.json`: what one trial found.

The worker of the trial writes the record and reports read it; nothing else passes between the two. Numbers
carry their unit in the field's name, raw samples stay with the statistics that are computed from them, and what
was not measured is None, never 0.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from harness.bounds import Amount, AnyFloat, AnyInt, Count, Fraction, PositiveAmount, PositiveCount, Text

#: of all files that this program writes; files of older versions stay readable
SCHEMA_VERSION = 3
SEALED_SINCE = 3  # older files have no seal, see harness.store.sealed.seal

STATUSES = (
    "pending", "queued", "running",
    "done", "failed", "oom", "timeout", "nan", "killed", "preempted", "lost", "invalid", "pruned",
)  # fmt: skip
OPEN_STATUSES = ("pending", "queued", "running", "preempted", "lost")
FINAL_STATUSES = tuple(status for status in STATUSES if status not in OPEN_STATUSES)


class RecordModel(BaseModel):
    """Base of all models that are stored as JSON."""

    model_config = ConfigDict(extra="forbid")


class FileModel(RecordModel):
    """Base of all models that are a whole file."""

    _is_sealed: bool = PrivateAttr(True)

    @property
    def is_sealed(self) -> bool:
        """Return False for a file of an older version, which has no seal that could show damage."""
        return self._is_sealed


class Score(RecordModel):
    """Correct answers of one label on one split. `top5_correct` is None where there are fewer than six classes."""

    top1_correct: Count
    top5_correct: Count | None
    total: PositiveCount

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        """Check top-1 <= top-5 <= total."""
        top5 = self.total if self.top5_correct is None else self.top5_correct
        if not self.top1_correct <= top5 <= self.total:
            raise ValueError(f"{self.top1_correct} (top-1), {self.top5_correct} (top-5) correct of {self.total}")
        return self

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
    macs_per_view: Count = Field(description="counted by FlopCounterMode in a backward pass on the meta device")
    rule_macs: Count = Field(description="by the rule, from the graph of the forward pass")
    one_sided_macs: Count = Field(description="forward MACs of products of which one factor needs a gradient")
    no_gradient_macs: Count | None = Field(description="forward MACs of products that no gradient passes through")
    uncounted_ops: dict[str, Count] = Field(default_factory=dict)


class MacsCount(RecordModel):
    """Multiply-accumulates of one clip, forward, counted three ways.

    `status`: exact (all available counts agree and no op is uncounted), lower_bound (an op of unknown cost was called),
    disagrees (the counts differ). `macs_per_view` is the fvcore count. Every op that was called is in exactly one of
    `counted_ops`, `zero_ops` and `uncounted_ops`.
    """

    status: MacsStatus
    macs_per_view: Count
    flop_counter_macs: Count | None
    closed_form_macs: Count | None = Field(description="None for a module that has none")
    attention_macs: Count = Field(description="of products of two computed tensors: scores and weighted sums")
    useful_macs: Count | None = Field(None, description="without (query, key) pairs that are computed and then masked")
    counted_ops: dict[str, Count] = Field(default_factory=dict, description="op -> its MACs")
    zero_ops: dict[str, Count] = Field(default_factory=dict, description="op without a product -> calls")
    uncounted_ops: dict[str, Count] = Field(default_factory=dict, description="op of unknown cost -> calls")
    backward: BackwardMacs | None = None

    @property
    def attention_share(self) -> float:
        """Return the share of attention in the multiply-accumulates, as a fraction."""
        return self.attention_macs / self.macs_per_view if self.macs_per_view else 0.0


class Timing(RecordModel):
    """One timed call: all samples in milliseconds, in the order of measurement."""

    batch_size: PositiveCount
    samples_ms: list[Amount]
    median_ms: PositiveAmount
    median_low_ms: PositiveAmount = Field(description="bootstrap 95 % interval of the median")
    median_high_ms: PositiveAmount
    unstable: bool = Field(description="interquartile range over median above 5 %, or a drift over the run")
    iqr_ms: Amount | None = Field(None, description="interquartile range of the samples")
    p95_ms: Amount | None = Field(None, description="95th percentile of the samples")
    freed_memory_kept: bool | None = Field(None, description="CPU: what was freed was kept, no page faulted in twice")
    first_call_ms: Amount | None = Field(None, description="the very first call, which is no sample")

    @property
    def clips_per_s(self) -> float:
        """Return the throughput at this batch size."""
        return 1e3 * self.batch_size / self.median_ms


class PredictedMemory(RecordModel):
    """Peak memory predicted from shapes and lifetimes alone, and the parts of the training step's peak."""

    batch_size: PositiveCount
    inference_peak_bytes: Count
    train_step_peak_bytes: Count
    parameter_bytes: Count = Field(description="parameters and buffers")
    gradient_bytes: Count
    optimizer_bytes: Count
    batch_bytes: Count = Field(description="clips and labels")
    activation_bytes: Count = Field(description="alive at the end of the forward pass in addition to the above")
    temporary_bytes: Count = Field(description="the rest of the peak of the training step")


class MeasuredMemory(RecordModel):
    """Peak memory of inference and of a training step with `batch_size` clips."""

    batch_size: PositiveCount
    method: Text = Field(description="how the peaks were obtained")
    inference_peak_bytes: Count
    train_step_peak_bytes: Count
    process_peak_bytes: Count | None = Field(description="high-water mark of the measuring process, libraries included")
    reserved_peak_bytes: Count | None = Field(None, description="memory that CUDA's caching allocator reserved")


class Timings(RecordModel):
    """Times, measured on an otherwise idle machine after all training."""

    latency: Timing = Field(description="inference, one clip")
    inference: Timing = Field(description="inference, a batch")
    train_step: Timing = Field(description="forward, backward, update, a batch")
    alone: bool = Field(description="no other trial of this sweep ran at the same time")
    preflight: dict[str, Any] | None = Field(None, description="state of the machine just before; `dirty` lists faults")
    noise_probe_ms: Amount | None = Field(  # reference_*: names in older records
        None, validation_alias=AliasChoices("noise_probe_ms", "reference_ms"),
        description="a fixed piece of work between the timings, median; None: on a GPU",
    )  # fmt: skip
    noise_probe_work: Text | None = Field(
        None, validation_alias=AliasChoices("noise_probe_work", "reference_work"),
        description="the work of the noise probe; times of other work are not comparable",
    )  # fmt: skip
    energy_j_per_clip: Amount | None = Field(None, description="of inference of a batch; None: no meter here")
    energy_source: Text | None = Field(None, description="rapl or nvml; whole package or GPU, idle power included")

    @model_validator(mode="after")
    def _check_faults(self) -> Self:
        """Check that the faults that the preflight found are texts."""
        faults = (self.preflight or {}).get("dirty", [])
        if not isinstance(faults, list) or not all(isinstance(fault, str) for fault in faults):
            raise ValueError("preflight.dirty is no list of texts")
        return self


class Costs(RecordModel):
    """Costs of the configuration: counted, predicted, measured."""

    num_parameters: Count
    macs: MacsCount
    num_views: PositiveCount
    macs_per_video: Count
    environment: dict[str, Any] | None = Field(None, description="where memory and time were measured")
    num_frames: Count | None = Field(None, description="frames of a clip")
    num_tokens: Count | None = Field(None, description="patches or tubelets of a clip that enter the encoder")
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

    num_steps: Count
    final_loss: AnyFloat | None
    loss_curve: list[tuple[Count, AnyFloat]] = Field(description="(step, training loss), subsampled")
    duration_s: Amount = Field(description="time spent in training steps, over all resumptions")
    num_resumes: Count


class Record(FileModel):
    """One finished trial."""

    schema_version: Count = SCHEMA_VERSION
    trial_id: Text
    config: dict[str, Any]
    seed: AnyInt
    data_identity: Text
    location_fields: list[Text] | None = Field(
        None, description="fields of `data` that say where the data lie and are no part of the id; None: older records"
    )
    scores: dict[str, dict[str, Score]] = Field(description="split -> label -> score")
    ceilings: dict[str, dict[str, Fraction]] = Field(
        default_factory=dict, description="kind of model -> label -> best accuracy it can reach on the test split"
    )
    training: Training
    costs: Costs
    environment: dict[str, Any]
    code: Text | None = Field(
        None,
        description="identity of the code that made it, see harness.code_identity; A+B if it changed meanwhile",
    )
    proven: bool | None = Field(None, description="`check` had passed for this code; None: not noted in older records")
    finished_at: Text
