"""Plans of valid sweep files: axes, rows, labels, overrides, bases, identities."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.sweep import identity
from harness.sweep.plan import Plan, plan_sweep
from harness.sweep.schema import TrialConfig

MakePlan = Callable[..., Plan]

HEAD = "question: q\ndata: moving_shapes\nvariant: {name: window, reach: 1}\n"
# an example with every kind of block
COMPLETE = """\
question: How large a temporal window does mixing need, and what does it cost?
base: null
data: {name: moving_shapes, task: motion}
model: {size: demo, num_frames: 8, crop_size: 16, patch_size: 4, temporal_position: none}
variant: {name: window, reach: 1, share: 0.5}
readout: {name: mean_frames}
global_tokens: {summary: 0}
train: {num_steps: 600, batch_size: 64, optimizer: adamw, learning_rate: 2.0e-3, num_threads: 1}
measure: {min_samples: 10}
vary:
  - grid: {variant.reach: [0, 1, 2, 3]}
  - list: [{variant.reach: 0, model.temporal_position: learned, label: "reach 0, positions"}]
seeds: 4
baseline: {variant.reach: 0}
launch: {where: local}
"""


def values(plan: Plan, *paths: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values[path] for path in paths) for row in plan.rows]


def labels(plan: Plan) -> list[str]:
    return [row.label for row in plan.rows]


def config(plan: Plan, row: int = 0) -> dict[str, Any]:
    return next(trial.config for trial in plan.trials if trial.row_id == plan.rows[row].row_id)


def test_the_complete_example(plan: MakePlan) -> None:
    made = plan(COMPLETE)
    assert made.name == "q"
    assert made.axes == ["variant.reach", "model.temporal_position"]
    assert labels(made) == ["reach = 0", "reach = 1", "reach = 2", "reach = 3", "reach 0, positions"]
    assert made.baseline_row == made.rows[0].row_id
    assert len(made.trials) == len({trial.trial_id for trial in made.trials}) == 20
    assert [trial.seed for trial in made.trials[:4]] == [0, 1, 2, 3]
    assert made.launch.where == "local"
    assert made.to_file().rows[1].trials["2"] == made.trials[6].trial_id


def test_every_config_is_complete_and_fits_the_trial_schema(plan: MakePlan) -> None:
    for trial in plan(COMPLETE).trials:
        checked = TrialConfig.model_validate(trial.config)
        assert checked.model_dump(mode="json") == trial.config
        assert json.loads(json.dumps(trial.config)) == trial.config
    assert config(plan(COMPLETE))["model"]["embed_dim"] == 48
    assert config(plan(COMPLETE), 2)["variant"]["layers"] == "all"


def test_grid_is_the_product_with_the_last_axis_fastest(plan: MakePlan) -> None:
    made = plan(HEAD + "vary: [{grid: {variant.reach: [0, 1], train.batch_size: [8, 16, 32]}}]\n")
    assert values(made, "variant.reach", "train.batch_size") == list(product([0, 1], [8, 16, 32]))
    assert labels(made)[0] == "reach = 0, batch_size = 8"


def test_zip_combines_lists_element_by_element(plan: MakePlan) -> None:
    made = plan(HEAD + "vary: [{zip: {variant.reach: [0, 1], train.batch_size: [8, 16]}}]\n")
    assert values(made, "variant.reach", "train.batch_size") == [(0, 8), (1, 16)]


def test_blocks_are_joined_and_rows_with_one_configuration_are_one(plan: MakePlan) -> None:
    made = plan(
        HEAD + "vary:\n- grid: {variant.reach: [0, 1]}\n"
        "- list: [{variant.reach: 1, label: late}, {variant: {name: window, reach: 0}}, {model.size: Ti}]\n"
    )
    assert labels(made) == ["reach = 0, size = demo", "late", "reach = 1, size = Ti"]


def test_a_preset_and_its_sizes_are_one_configuration(plan: MakePlan) -> None:
    made = plan(
        HEAD + "vary: [{list: [{model.size: Ti}, {model.embed_dim: 192, model.depth: 12, model.num_heads: 3}]}]"
    )
    assert len(made.rows) == 1


def test_a_variant_axis_replaces_the_block_and_its_readout(plan: MakePlan) -> None:
    text = (
        HEAD.replace("reach: 1", "reach: 3") + "vary: [{grid: {variant: [whole, window, {name: window, reach: 2}]}}]\n"
    )
    made = plan(text)
    assert [config(made, i)["variant"].get("reach") for i in range(3)] == [None, 1, 2]
    assert [config(made, i)["readout"]["name"] for i in range(3)] == ["class_token", "mean_frames", "mean_frames"]
    assert made.axes == ["variant", "variant.reach"]
    assert labels(made) == ["whole", "window, reach = 1", "window, reach = 2"]


def test_a_new_name_clears_the_block_and_the_same_name_keeps_it(plan: MakePlan) -> None:
    made = plan(HEAD.replace("reach: 1", "reach: 3") + "vary: [{grid: {variant.name: [whole, window]}}]\n")
    assert config(made, 0)["variant"] == {"name": "whole"}
    assert config(made, 1)["variant"]["reach"] == 3
    assert labels(made) == ["whole", "window"]


def test_fields_may_come_before_the_name_they_belong_to(plan: MakePlan) -> None:
    made = plan(HEAD + "vary: [{list: [{readout.num_layers: 2, readout.name: temporal_attention}]}]\n")
    assert config(made)["readout"]["num_layers"] == 2
    assert config(made)["readout"]["num_heads"] == 4


def test_a_readout_without_a_name_is_the_variants(plan: MakePlan) -> None:
    made = plan(HEAD + "readout: {norm: after}\n")
    assert config(made)["readout"] == {"name": "mean_frames", "norm": "after"}


def test_short_names_only_where_they_are_unambiguous(plan: MakePlan) -> None:
    made = plan(HEAD + "vary: [{grid: {train.batch_size: [8, 16], measure.batch_size: [1, 2]}}]\n")
    assert labels(made)[0] == "train.batch_size = 8, measure.batch_size = 1"


def test_one_row_without_axes(plan: MakePlan) -> None:
    made = plan(HEAD + "seeds: [7, 3]\n")
    assert labels(made) == ["base"]
    assert [trial.seed for trial in made.trials] == [7, 3]
    assert made.baseline_row is None


def test_overrides_come_before_the_axes(plan: MakePlan) -> None:
    made = plan(
        COMPLETE, "train.num_steps=5", "seeds=[1]", "vary=[]", "variant.name=whole", "baseline=null", "readout=null"
    )
    assert len(made.trials) == 1
    assert config(made)["train"]["num_steps"] == 5
    assert config(made)["variant"] == {"name": "whole"}


def test_override_of_a_block_and_a_field_in_any_order(plan: MakePlan) -> None:
    made = plan(HEAD, "variant.reach=2", "variant={name: window, share: 1}")
    assert (config(made)["variant"]["reach"], config(made)["variant"]["share"]) == (2, 1.0)


def test_base_gives_defaults_field_by_field(plan: MakePlan) -> None:
    Path("r.yaml").write_text("train: {num_steps: 7, batch_size: 3}\nvariant: {name: window, reach: 2}\nseeds: 2\n")
    made = plan("base: r.yaml\nquestion: q\ndata: moving_shapes\ntrain: {batch_size: 5}\nvariant: {share: 0.25}\n")
    assert (config(made)["train"]["num_steps"], config(made)["train"]["batch_size"]) == (7, 5)
    assert (config(made)["variant"]["reach"], config(made)["variant"]["share"]) == (2, 0.25)
    assert len(made.trials) == 2


def test_another_variant_inherits_no_field_of_the_base(plan: MakePlan) -> None:
    Path("r.yaml").write_text("variant: {name: window, reach: 2}\n")
    made = plan("base: r.yaml\nquestion: q\ndata: moving_shapes\nvariant: whole\n")
    assert config(made)["variant"] == {"name": "whole"}


def test_numbers_are_read_as_written(plan: MakePlan) -> None:
    for text, value in (("1e-3", 0.001), (".5", 0.5), ("1", 1.0), ("+2.5E-1", 0.25)):
        assert config(plan(HEAD + f"train: {{learning_rate: {text}}}\n"))["train"]["learning_rate"] == value


@pytest.mark.parametrize(
    ("baseline", "row"),
    [("{variant: whole}", 0), ("{variant: {reach: 2}}", 1), ("{variant.reach: 1}", 2), ("{label: third}", 2)],
)
def test_baseline(plan: MakePlan, baseline: str, row: int) -> None:
    text = "vary: [{list: [{variant: whole}, {variant.reach: 2}, {variant.reach: 1, label: third}]}]\n"
    made = plan(HEAD + text + f"baseline: {baseline}\n")
    assert made.baseline_row == made.rows[row].row_id


def test_trial_id_is_the_documented_hash(plan: MakePlan) -> None:
    trial = plan(COMPLETE).trials[5]
    blocks = {name: dict(block) for name, block in trial.config.items() if name != "seed" and block is not None}
    del blocks["model"]["size"]
    content = {"config": blocks, "data": "moving_shapes 1", "seed": trial.seed}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert trial.trial_id == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_identity_is_stable_over_releases() -> None:
    texts = {
        "model": identity.block_text("model", {"size": "Ti", "embed_dim": 192, "drop_path": -0.0}),
        "data": identity.block_text("data", {"name": "video_list", "root": "/a", "train_list": "b", "flip": True}),
    }
    text = identity.config_text(texts)
    assert text == '{"data":{"flip":true,"name":"video_list"},"model":{"drop_path":0.0,"embed_dim":192}}'
    assert identity.trial_id(text, "abc", 3) == "cc6033c20198"


def test_what_changes_the_trial_id_and_what_does_not(plan: MakePlan) -> None:
    def first(*overrides: str, device: str = "cpu") -> str:
        return plan(HEAD + "train: {learning_rate: 1.0}\n", *overrides, device=device).trials[0].trial_id

    same = first()
    assert first("train.learning_rate=1") == same
    assert first("question=other", "launch.num_workers=3", "seeds=5") == same
    assert first("train.device=cpu", device="cuda") == same
    assert first("model.num_heads=4") == same
    different = [first(device="cuda"), first("seeds=[1]"), first("train.num_threads=2"), first("data.noise=0.1")]
    assert len({same, *different}) == 5


def test_nothing_leaks_between_plans_of_one_process(plan: MakePlan) -> None:
    assert plan(COMPLETE).to_file() == plan(COMPLETE).to_file()


def test_ten_thousand_trials_in_three_seconds(plan: MakePlan) -> None:
    axes = {
        "train.learning_rate": [i / 1000 for i in range(1, 11)],
        "train.weight_decay": list(range(10)),
        "variant.reach": list(range(10)),
        "model.depth": list(range(1, 11)),
    }
    begin = time.perf_counter()
    made = plan(HEAD + f"vary: [{{grid: {json.dumps(axes)}}}]\n")
    assert len({trial.trial_id for trial in made.trials}) == 10_000
    assert time.perf_counter() - begin < 3


def test_the_real_variants(tmp_path: Path) -> None:
    file = tmp_path / "window_size.yaml"
    file.write_text(
        COMPLETE.replace("window, reach: 1, share", "mixing, temporal_window: 1, mixed_fraction").replace(
            "variant.reach", "variant.temporal_window"
        )
    )
    made = plan_sweep(file, ["train.device=cpu"], data_identity=lambda data: "1")
    assert labels(made)[:2] == ["temporal_window = 0", "temporal_window = 1"]
    file.write_text(file.read_text().replace("[0, 1, 2, 3]", "[0, 1, 2, 40]"))
    with pytest.raises(UserError, match=r"yaml:11:47  vary.variant.temporal_window=40: .*largest that fits: 3$"):
        plan_sweep(file, data_identity=lambda data: "1")
