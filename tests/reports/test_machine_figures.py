"""The roofline and frontier figures hold every row that they were given."""

from __future__ import annotations

from harness.reports.common import plots
from harness.reports.common.machine_figures import RooflinePoint, frontier_page, roofline_page


def test_the_roof_is_flat_from_the_ridge_on_and_all_points_are_drawn() -> None:
    points = [RooflinePoint("a", 2.0, 1e9), RooflinePoint("b", 50.0, 4e10)]
    page = roofline_page("r", points, peak_flops_per_s=1e11, peak_bytes_per_s=1e10)
    roof, *drawn = page.figure.axes[0].lines
    x, y = roof.get_data()
    assert max(y) == 100
    assert all(value == 100 for at, value in zip(x, y, strict=True) if at >= 10)
    assert [line.get_label() for line in drawn] == ["a", "b"]
    assert "100 GFLOP/s" in page.caption
    assert "mathdefault" not in plots.svg_text(page)


def test_a_frontier_says_what_does_not_fit_and_what_was_not_bounded() -> None:
    page = frontier_page("f", "num_frames", "5 ms", {"a": 32, "b": None, "c": 64}, ["c"])
    texts = [text.get_text() for text in page.figure.axes[0].texts]
    assert texts == ["32", "nothing fits", "64 or more →"]
