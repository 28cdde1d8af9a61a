"""The `tune:` block: every fault at its place, checked against every row; the search space of each row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bad_text import HEAD

from harness.errors import Fault
from harness.sweep.plan import Plan

Faults = Callable[..., list[Fault]]
ROWS = HEAD + "vary: [{list: [{variant: window}, {variant: whole}]}]\nseeds: 2\n"
RATE = "train.learning_rate: {low: 0.001, high: 0.1, log: true}"


def tuned(space: str, more: str = "", head: str = ROWS) -> str:
    """Returns a sweep whose block `tune` starts in line 6 (with ROWS), and its space in line 8."""
    return f"{head}tune:\n  num_trials: 4\n  space: {{{space}}}\n{more}"


# name -> (space, further lines, line:column, part of the message)
CASES = {
    "unknown block": ("trian.x: {low: 1, high: 2}", "", "8:11", "Did you mean train?"),
    "no field": ("train: {low: 1, high: 2}", "", "8:11", "name one field, such as train.FIELD"),
    "a name": ("readout.name: {choices: [gru, mean_frames]}", "", "8:11", "list the names under vary"),
    "a variant's knob": (
        "variant.raech: {low: 0, high: 3, where: {variant: window}}", "", "8:11", "Did you mean reach?",
    ),
    "a knob that another row lacks": ("variant.reach: {low: 0, high: 3}", "", "8:11",
        "whole has no such field; select the rows that have it with where: {variant: [window]}",
    ),
    "type of a choice": (
        "variant.reach: {choices: [0, far], where: {variant: window}}", "", "8:40", "expected an integer, got text 'far'",
    ),
    "end out of range": ("train.learning_rate: {low: 0.1, high: 101}", "", "8:49", "101 is too large; at most 100"),
    "end of an integer": ("train.batch_size: {low: 0.5, high: 8}", "", "8:35", "expected an integer, got the number 0.5"),
    "unknown key of a range": (
        "train.learning_rate: {low: 0.1, hihg: 1}", "", "8:43", "train.learning_rate has no such field",
    ),
    "half a range": ("train.learning_rate: {low: 0.1}", "", "8:32", "give low and high, or choices"),
    "both kinds": ("train.learning_rate: {low: 0.1, choices: [1, 2]}", "", "8:32", "choices have no low, high"),
    "a choice twice": ("train.batch_size: {choices: [8, 16, 8]}", "", "8:29", "8 is listed twice under choices"),
    "upside down": ("train.learning_rate: {low: 1, high: 0.1}", "", "8:32", "low 1 must be less than high 0.1"),
    "log of zero": ("train.weight_decay: {low: 0, high: 1, log: true}", "", "8:31", "log needs low above 0"),
    "step past the end": ("train.batch_size: {low: 8, high: 30, step: 8}", "", "8:29", "does not divide the range from low 8 to high 30"),
    "not a range": ("train.learning_rate: 3", "", "8:32", "expected a mapping, got the number 3"),
    "where without rows": (f"{RATE}, train.momentum: {{low: 0, high: 1, where: {{variant: wide}}}}", "", "8:102", "no row has these values"),
    "sampler": (RATE, "  sampler: tp\n", "9:12", "Did you mean tpe?"),
    "unknown key": (RATE, "  num_trails: 3\n", "9:3", "Did you mean num_trials?"),
    "objective": (RATE, "  objective: test_top1\n", "9:14", "one of val_top1, num_parameters"),
    "objective twice": (RATE, "  objective: [val_top1, val_top1]\n", "9:14", "an objective is listed twice"),
    "label": (RATE, "  label: vreb\n", "9:10", "'vreb' given; the data has the labels action, noun, verb. Did you mean verb?"),
    "constraint": (RATE, "  constraints: {latency: 3}\n", "9:17", "Did you mean latency_ms?"),
    "pruner of a front": (
        RATE, "  objective: [val_top1, latency_ms]\n  pruner: median\n", "10:11", "needs this as the only objective",
    ),
    "a seed of the table": (RATE, "  train_seed: 1\n", "9:15", "1 is one of seeds"),
    "more than there is": (
        "train.batch_size: {choices: [8, 16]}", "", "7:15", "4 given, but a row with variant window has only 2",
    ),
    "how a trial is run": ("train.num_threads: {low: 1, high: 8}", "", "8:11", "no part of a search"),
    "data": ("data.noise: {low: 0.1, high: 0.2}", "", "8:11", "a search has no such field"),
}  # fmt: skip


@pytest.mark.parametrize(("space", "more", "place", "message"), CASES.values(), ids=CASES.keys())
def test_one_fault_one_message(faults: Faults, space: str, more: str, place: str, message: str) -> None:
    found = faults(tuned(space, more))
    assert [fault.where for fault in found] == [f"q.yaml:{place}"], [str(fault) for fault in found]
    assert message in str(found[0])


def test_a_varied_field_cannot_be_searched(faults: Faults) -> None:
    head = HEAD + "vary: [{grid: {train.batch_size: [8, 16]}}]\nseeds: 2\n"
    (found,) = faults(tuned("train.batch_size: {low: 4, high: 64}", head=head))
    assert "vary sets train.batch_size in its rows; search it or vary it" in str(found)


def test_a_row_with_nothing_to_search(faults: Faults) -> None:
    (found,) = faults(tuned("variant.reach: {low: 0, high: 9, where: {variant: window}}"))
    assert "nothing is searched for a row with variant whole" in str(found)


def test_set_of_a_searched_field_would_have_no_effect(faults: Faults) -> None:
    (found,) = faults(tuned(RATE), "train.learning_rate=0.1")
    assert "--set train.learning_rate would have no effect" in str(found)


def test_no_mapping_and_no_space(faults: Faults) -> None:
    assert "expected a mapping, got a list" in str(faults(ROWS + "tune: []\n")[0])
    assert "missing; tune needs it" in str(faults(ROWS + "tune: {num_trials: 3}\n")[0])


def test_all_faults_at_once(faults: Faults) -> None:
    text = tuned("trian.x: {low: 1, high: 2}, train.batch_size: {low: 0, high: 9}", "launch: {where: moon}\n")
    assert len(faults(text.replace("\nseeds: 2", "\nseeds: 0"))) == 4


def test_rows_have_their_own_space_and_types(plan: Callable[..., Plan]) -> None:
    made = plan(
        tuned(f"{RATE}, train.weight_decay: {{low: 0, high: 1}}, train.batch_size: {{low: 8, high: 64}}, "
              "variant.share: {choices: [0.25, 0.5], where: {variant: window}}")
    )  # fmt: skip
    assert made.tuning is not None
    window, whole = made.tuning.spaces.values()
    assert [item.name for item in window.parameters] == [*[item.name for item in whole.parameters], "variant.share"]
    integers = {item.name: item.integer for item in window.parameters}
    assert integers == {
        "train.learning_rate": False, "train.weight_decay": False, "train.batch_size": True, "variant.share": False,
    }  # fmt: skip
    assert made.tuning.train_seed == 2  # differs from the seeds of the table
    assert made.to_file().tuned


def test_a_proposal_becomes_a_configuration_or_a_reason(plan: Callable[..., Plan]) -> None:
    made = plan(
        tuned("variant.reach: {low: 0, high: 40, where: {variant: window}}, model.num_heads: {low: 1, high: 8}")
    )
    assert made.tuning is not None
    (row_id, *_) = made.tuning.spaces
    row = made.tuning.resolve(row_id, {"variant.reach": 3, "model.num_heads": 2})
    assert not isinstance(row, str)
    assert (row.blocks["variant"] or {})["reach"] == 3
    assert "heads do not divide" in str(made.tuning.resolve(row_id, {"variant.reach": 3, "model.num_heads": 5}))
    assert "a head has 48 channels" in str(made.tuning.resolve(row_id, {"variant.reach": 60, "model.num_heads": 1}))


def test_a_search_is_no_part_of_a_rows_identity(plan: Callable[..., Plan]) -> None:
    with_search, without = plan(tuned(RATE)), plan(ROWS)
    assert [row.row_id for row in with_search.rows] == [row.row_id for row in without.rows]
    assert without.tuning is None
    assert not without.to_file().tuned


def test_the_block_can_be_set_by_hand(plan: Callable[..., Plan]) -> None:
    made = plan(tuned(RATE), "tune.num_trials=9", "tune.seed=3")
    assert made.tuning is not None
    assert (made.tuning.config.num_trials, made.tuning.config.seed) == (9, 3)
    assert plan(tuned(RATE), "tune=null").tuning is None
