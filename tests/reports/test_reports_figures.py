"""Figures: which are drawn, what they hold and leave out, and that same records give same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.reports import accuracy_axis, accuracy_cost
from harness.reports.common.axis_series import axis_values, series_of, value_text
from harness.reports.common.plots import FigurePage
from harness.reports.common.row_statistics import summarise
from harness.reports.plot import accuracy_against
from matplotlib.text import Annotation

from harness import quantities
from harness.errors import UserError
from tests.reports.factory import make_record, make_row, make_run, variants_run, window_run


def texts(page: FigurePage) -> list[str]:
    return [item.get_text() for item in page.figure.findobj(Annotation)]


def test_cost_figures_name_every_row_and_draw_the_ceiling() -> None:
    pages = accuracy_cost.figures(window_run(num_failed=1))
    assert [page.name for page in pages] == ["accuracy_macs", "accuracy_memory", "accuracy_latency"]
    for page in pages:
        assert sorted(texts(page)) == sorted([
            "t_w = 0 (baseline)", "t_w = 1", "t_w = 2", "t_w = 3", "t_w = 0, positions", "bag of frames: at most 50 %",
        ])  # fmt: skip
        assert "3 to 4 seeds" in page.caption


@pytest.mark.parametrize("run", [window_run(), variants_run()])
def test_names_of_points_do_not_overlap(run: object) -> None:
    for page in accuracy_cost.figures(run):  # type: ignore[arg-type]
        page.figure.canvas.draw()
        boxes = [item.get_window_extent() for item in page.figure.findobj(Annotation)]
        pairs = [(one, other) for index, one in enumerate(boxes) for other in boxes[:index]]
        assert not [pair for pair in pairs if pair[0].overlaps(pair[1])]
        frame = page.figure.axes[0].get_window_extent().padded(2)
        assert all(frame.contains(*box.min) and frame.contains(*box.max) for box in boxes)


def test_a_row_that_cannot_be_drawn_is_named_in_the_caption() -> None:
    for page in accuracy_cost.figures(variants_run()):
        assert "trajectory" not in texts(page)
        assert "Not drawn, no trial done: trajectory." in page.caption
    assert "Not drawn, no trial done: trajectory." in accuracy_axis.figures(variants_run())[0].caption


def test_foreign_and_missing_costs_are_named_and_not_drawn() -> None:
    rows = [make_row(name, name.upper(), {"v": name}, [0]) for name in "abc"]
    foreign = make_record("b-s0", environment={"cpu_model": "other"})
    bare = make_record("c-s0")
    bare.costs.timings = None
    pages = {
        p.name: p for p in accuracy_cost.figures(make_run(rows, [make_record("a-s0"), foreign, bare], axes=("v",)))
    }
    latency = pages["accuracy_latency"]
    assert texts(latency) == ["A"]
    assert "measured under other conditions: B." in latency.caption
    assert "cost not measured: C." in latency.caption
    assert len(texts(pages["accuracy_macs"])) == 3


def test_a_marked_cost_has_a_star_and_the_reason_in_the_caption() -> None:
    record = make_record("a-s0")
    record.costs.macs.status = "lower_bound"
    record.costs.macs.uncounted_ops = {"planted::op": 1}
    rows = [make_row(name, name.upper(), {"v": name}, [0]) for name in "ab"]
    pages = {
        page.name: page for page in accuracy_cost.figures(make_run(rows, [record, make_record("b-s0")], axes=("v",)))
    }
    assert sorted(texts(pages["accuracy_macs"])) == ["A*", "B"]
    assert "* A: MACs are a lower bound: not counted: planted::op ×1." in pages["accuracy_macs"].caption
    assert sorted(texts(pages["accuracy_memory"])) == ["A", "B"]


@pytest.mark.parametrize(("span", "scale"), [(3, "linear"), (20, "log")])
def test_wide_costs_are_drawn_on_a_logarithmic_axis(span: int, scale: str) -> None:
    rows = [make_row("a", "A", {"v": 0}, [0]), make_row("b", "B", {"v": 1}, [0])]
    run = make_run(rows, [make_record("a-s0", macs=10**9), make_record("b-s0", macs=span * 10**9)], axes=("v",))
    page = accuracy_cost.figures(run)[0]
    assert page.figure.axes[0].get_xscale() == scale
    assert page.figure.axes[0].get_xlabel().startswith("multiply-accumulates of one view, GMACs")


def test_series_are_rows_equal_in_all_other_fields_and_controls_stand_alone() -> None:
    run = window_run()
    series = series_of(summarise(run), run.plan.axes, "variant.temporal_window")
    assert [(one.name, [row.label for row in one.rows]) for one in series] == [
        ("temporal_position = none", ["t_w = 0", "t_w = 1", "t_w = 2", "t_w = 3"]),
        ("t_w = 0, positions", ["t_w = 0, positions"]),
    ]


def test_numbers_are_sorted_and_names_keep_the_order_of_the_plan() -> None:
    values = [8, 2, 4]
    rows = summarise(make_run([make_row(f"r{v}", str(v), {"v": v, "name": f"n{v}", "on": v > 2}) for v in values], []))
    assert axis_values(rows, "v") == [2, 4, 8]
    assert axis_values(rows, "name") == ["n8", "n2", "n4"]
    assert axis_values(rows, "on") == [True, False]
    assert [row.label for row in series_of(rows, ["v"], "v")[0].rows] == ["2", "4", "8"]


def test_block_values_are_readable() -> None:
    assert value_text({"name": "mixing", "temporal_window": 1}) == "mixing, temporal_window = 1"
    assert value_text("joint") == "joint"
    assert value_text(None) == "null"


def test_axis_figure_holds_the_means_of_every_label() -> None:
    run = window_run()
    page = accuracy_axis.figures(run)[0]
    assert [axes.get_title(loc="left") for axes in page.figure.axes] == ["verb", "noun", "action"]
    rows = summarise(run)
    for axes in page.figure.axes:
        label = axes.get_title(loc="left")
        line = next(container[0] for container in axes.containers)
        means = [100 * row.top1[label].mean for row in rows[:4]]
        assert list(line.get_ydata()) == pytest.approx(means)
        assert list(line.get_xdata()) == pytest.approx([0, 1, 2, 3], abs=0.05)


def test_rows_without_the_field_are_named() -> None:
    rows = [make_row("a", "A", {"v": 0}, [0]), make_row("b", "B", {"v": 1}, [0]), make_row("c", "C", {}, [0])]
    run = make_run(rows, [make_record(f"{name}-s0") for name in "abc"], axes=("v",))
    assert "Not drawn, without this field: C." in accuracy_axis.figures(run)[0].caption


def test_a_field_that_nothing_differs_in_alone_has_no_figure() -> None:
    rows = [make_row("a", "A", {"v": 0, "w": 0}, [0]), make_row("b", "B", {"v": 1, "w": 1}, [0])]
    run = make_run(rows, [make_record("a-s0"), make_record("b-s0")], axes=("v", "w"))
    assert accuracy_axis.figures(run) == []


def test_no_finished_trial_draws_nothing() -> None:
    run = make_run([make_row("a", "A", {"v": 0})], [], axes=("v",))
    assert accuracy_cost.figures(run) == accuracy_axis.figures(run) == []


def test_dollar_signs_in_names_are_text(tmp_path: Path) -> None:
    run = make_run([make_row("a", "cost $x_", {"v": 0}, [0])], [make_record("a-s0")], axes=("v",))
    assert len(accuracy_cost.write(run, tmp_path)) == 6


def test_same_records_give_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        paths = accuracy_cost.write(window_run(), folder) + accuracy_axis.write(window_run(), folder)
        contents.append({path.name: path.read_bytes() for path in paths})
    assert contents[0] == contents[1]
    assert not any(b"<dc:date>" in content or b"matplotlib.org/" in content for content in contents[0].values())


@pytest.mark.parametrize("x", [None, "model.temporal_position", *(item.key for item in quantities.QUANTITIES)])
def test_accuracy_can_be_drawn_against_every_number_that_a_run_has(x: str | None) -> None:
    run = window_run()
    if x in ("energy_j_per_clip", "noise_probe_ms", "macs_per_frame", "macs_per_token", "useful_macs_per_view") or (
        x or ""
    ).startswith(("predicted", "backward")):
        with pytest.raises(UserError, match="nothing to draw yet"):
            accuracy_against(run, x)
        return
    page = accuracy_against(run, x)
    assert page.figure.axes[0].get_xlabel()
    assert page._repr_png_()[:4] == b"\x89PNG"


def test_a_front_rises_towards_the_better_side() -> None:
    """Throughput: more is better, so that the front starts at its largest value."""
    page = accuracy_against(window_run(), "throughput_clips_per_s")
    (stairs,) = [line for line in page.figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    x, y = stairs.get_data()
    assert list(x) == sorted(x, reverse=True)
    assert list(y) == sorted(y)


def test_unknown_axes_of_a_plot_are_refused() -> None:
    with pytest.raises(UserError, match="Did you mean latency_ms"):
        accuracy_against(window_run(), "latncy_ms")
    with pytest.raises(UserError, match="the run has verb, noun, action"):
        accuracy_against(window_run(), "latency_ms", label="verbs")


def test_a_star_is_explained_inside_the_figure() -> None:
    run = window_run()
    for record in run.records.values():
        assert record.costs.timings is not None
        record.costs.timings.alone = False
    latency = next(page for page in accuracy_cost.figures(run) if page.name == "accuracy_latency")
    assert any(text.endswith("*") for text in texts(latency))
    (legend,) = latency.figure.legends
    (star,) = [item.get_text() for item in legend.get_texts() if item.get_text().startswith("* ")]
    assert len(star) > 4
    assert f"{star[2:]}" in latency.caption
