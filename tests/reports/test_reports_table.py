"""The table as CSV, Markdown, LaTeX and HTML: same cells, every row, hostile text escaped."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from harness.reports import html, table
from harness.reports.common.row_statistics import summarise
from harness.reports.common.table_data import accuracy, build

from harness.store.load import LoadedRun
from tests.reports.factory import make_record, make_row, make_run, variants_run, window_run


def hostile_run() -> LoadedRun:
    rows = [
        make_row("a", "50% | <script>alert(1)</script> & a_b $x$ {y}", {"v": 0}, [0]),
        make_row("b", "B", {"v": 1}, [0]),
    ]
    statuses = {"b-s0": ("failed", "<img src=x onerror=alert(2)> 'quoted'")}
    return make_run(rows, [make_record("a-s0")], axes=("v",), statuses=statuses, question="<b>Why</b> & what?")


def unescaped_pipes(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line))


@pytest.mark.parametrize("run", [window_run(num_failed=1), variants_run(), hostile_run(), window_run(1)])
def test_markdown_has_every_row_and_equal_columns(run: LoadedRun) -> None:
    lines = [line for line in table.markdown(run, build(run)).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(run.plan.rows)
    assert {unescaped_pipes(line) for line in lines} == {len(build(run).header) + 1}


def test_cells_hold_the_statistics() -> None:
    run = window_run(num_failed=1)
    grid, rows = build(run), summarise(run)
    column = grid.header.index("action top-1, %")
    for cells, row in zip(grid.rows, rows, strict=True):
        mean, half = cells[column].text.split(" ± ")
        assert float(mean) == pytest.approx(100 * row.top1["action"].mean, abs=0.0501)
        assert float(half) == pytest.approx(100 * (row.top1["action"].half_width or 0), abs=0.0501)
    assert [cells[1].text for cells in grid.rows] == ["4/4"] * 4 + ["3/4"]
    (letter,) = grid.rows[-1][1].marks
    assert grid.marks[letter] == "oom: CUDA out of memory while allocating 2.0 GiB (1 of 4 seeds)"


def test_columns_follow_the_labels_and_top5_only_where_present() -> None:
    assert build(window_run()).header[2:5] == ("verb top-1, %", "noun top-1, %", "action top-1, %")
    assert build(variants_run()).header[2:4] == ("class top-1, %", "class top-5, %")


@pytest.mark.parametrize(
    ("num_seeds", "expected"), [(3, "needs at least 8 seeds"), (7, "needs at least 8 seeds"), (8, "after adjustment).")]
)
def test_the_note_states_whether_significance_is_reachable(num_seeds: int, expected: str) -> None:
    note = next(text for text in build(window_run(num_seeds)).notes if text.startswith("Δ"))
    assert expected in note
    assert ("no difference can be called significant" in note) == (num_seeds < 8)


def test_one_seed_is_marked_and_has_no_interval() -> None:
    grid = build(window_run(1))
    assert all("(n = 1)" in cells[2].text and "±" not in cells[2].text for cells in grid.rows)
    assert all("[" not in cells[5].text for cells in grid.rows)


def test_marked_numbers_show_their_bound_and_their_range() -> None:
    records = [make_record(f"a-s{s}", s, latency_ms=ms) for s, ms in enumerate([4.0, 5.0, 6.0])]
    for record in records:
        record.costs.macs.status = "lower_bound"
    grid = build(make_run([make_row("a", "A", {}, range(3))], records, axes=()))
    cells = dict(zip(grid.header, grid.rows[0], strict=True))
    assert cells["MACs per view"].text == "≥ 10 MMACs"
    assert grid.marks[cells["MACs per view"].marks[0]].startswith("MACs are a lower bound")
    assert cells["latency"].text == "5 ms (4..6)"
    assert "Δ verb, points" not in grid.header


def test_notes_explain_macs_and_ceilings() -> None:
    notes = " ".join(build(window_run()).notes)
    assert "The papers' GFLOPs are our GMACs" in notes
    assert "a bag of frames model reaches at most 50.0 % verb, 100.0 % noun, 50.0 % action." in notes


def test_a_label_without_scores_is_a_dash() -> None:
    assert accuracy(None).text == "-"


def test_csv_holds_raw_numbers_with_units(tmp_path: Path) -> None:
    run = variants_run()
    with table.write(run, tmp_path)[0].open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    rows = summarise(run)
    assert [line["label"] for line in lines] == [row.label for row in rows]
    assert float(lines[1]["class_top1_mean"]) == rows[1].top1["class"].mean
    assert float(lines[1]["latency_ms_median"]) == rows[1].costs["latency_ms"].median
    assert lines[8]["class_top1_mean"] == ""
    assert lines[8]["marks"].startswith("oom")
    assert lines[0]["vary.variant"] == '{"name": "spatial_only"}'


def test_latex_escapes_and_keeps_its_columns() -> None:
    run = hostile_run()
    text = table.latex(run, build(run))
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert r"50\% \textbar{} $<$script$>$alert(1)$<$/script$>$ \& a\_b \$x\$ \{y\}" in body
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(build(run).header)}


class Page(HTMLParser):
    """Collects what an HTML document would fetch, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "data", "poster", "srcset")]
        self.ids += [v or "" for k, v in attrs if k == "id"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_html_is_escaped() -> None:
    page = Page(html.page(hostile_run()))
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "b" not in page.tags
    text = "".join(page.words)
    assert "<img src=x onerror=alert(2)> 'quoted'" in text
    assert "<b>Why</b> & what?" in text


def test_commands_within_a_sentence_become_code_and_stay_escaped() -> None:
    text = html.code_spans("run `bench <a>` & `x`, not ` alone")
    assert text == "run <code>bench &lt;a&gt;</code> &amp; <code>x</code>, not ` alone"


def test_html_is_one_file_with_table_figures_failures_and_command() -> None:
    run = window_run(num_failed=1)
    document = html.page(run)
    page = Page(document)
    assert page.tags.count("svg") == 5
    assert {link for link in page.links if not link.startswith("#")} == {"table.csv", "table.md", "table.tex"}
    assert not re.search(r"url\((?!#)|@import|<link|<!ENTITY", document)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    text = "".join(page.words)
    for expected in (run.plan.question, "t_w = 0, positions", "r4-s3", "CUDA out of memory", "AMD EPYC",
                     "python -m harness sweep sweeps/window_size.yaml", "19 of 20 trials done"):  # fmt: skip
        assert expected in text


def test_html_of_a_run_that_has_not_started() -> None:
    run = make_run([make_row("a", "A", {"v": 0})], [], axes=("v",), baseline="a")
    text = "".join(Page(html.page(run)).words)
    assert "pending (4 of 4 seeds)" in text
    assert "nothing to draw" in text
