"""docs/python.md and docs/quickstart.ipynb do what they say: their code runs, block after block, with small sizes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness
from tests.e2e import ROOT, environment

PAGE, NOTEBOOK = ROOT / "docs/python.md", ROOT / "docs/quickstart.ipynb"
#: what a reader waits for and a test does not: each must be found in the text
SMALLER = {
    '"num_steps": 300': '"num_steps": 2',
    '"seeds": 2': '"measure": {"min_samples": 3, "max_seconds": 0.05}, "seeds": 1',
    '"task": "motion"}': '"task": "motion", "num_train": 512, "num_val": 20, "num_test": 100}',
}
#: runs blocks as a notebook does: the value of a last expression is shown in every form that it has
RUNNER = """
import ast, json, sys
shown = []
names = {"__name__": "__main__"}
for block in json.load(open("blocks.json")):
    tree = ast.parse(block)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<block>", "exec"), names)
    value = None if last is None else eval(compile(ast.Expression(last.value), "<block>", "eval"), names)
    forms = ["__repr__", "_repr_html_", "_repr_markdown_", "_repr_png_"]
    found = {form: str(getattr(value, form)()) for form in forms if value is not None and hasattr(value, form)}
    shown.append(found)
json.dump(shown, open("shown.json", "w"))
"""


def blocks_of_page() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def blocks_of_notebook() -> list[str]:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["metadata"]["kernelspec"]["language"]) == (4, "python")
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def shown_by(blocks: list[str], folder: Path, smaller: dict[str, str]) -> list[dict[str, Any]]:
    """Run blocks in order; return the forms in which a notebook would show each value."""
    for text, other in smaller.items():
        assert any(text in block for block in blocks), text
        blocks = [block.replace(text, other) for block in blocks]
    (folder / "blocks.json").write_text(json.dumps(blocks))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], cwd=folder, env={**environment(), "MPLBACKEND": "agg"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "shown.json").read_text())  # type: ignore[no-any-return]


def test_the_page_goes_from_a_variant_to_a_figure(tmp_path: Path) -> None:
    smaller = {**SMALLER, "repeats=2)": "repeats=1, blocks=1, patience_s=0.0)"}
    shown = shown_by(blocks_of_page(), tmp_path, smaller)
    text = "\n".join(item.get("__repr__", "") for item in shown)
    assert "causal" in text
    assert "FAIL" not in text
    assert "runs/look_back: 2 done" in text
    assert sum("_repr_png_" in item for item in shown) == 1
    assert sum("_repr_html_" in item for item in shown) >= 3  # the check, the counts, the times
    assert (tmp_path / "accuracy.png").stat().st_size > 1000
    assert (tmp_path / "runs/look_back/report/index.html").exists()


def test_the_notebook_goes_from_a_sweep_to_a_figure(tmp_path: Path) -> None:
    shown = shown_by(blocks_of_notebook(), tmp_path, SMALLER | {"[0, 1, 2]": "[0, 1]"})
    assert any("runs/quickstart: 2 done" in item.get("__repr__", "") for item in shown)
    assert any(item.get("_repr_png_", "").startswith("b'\\x89PNG") for item in shown)
    assert (tmp_path / "window.png").stat().st_size > 1000


def test_the_page_lists_every_function() -> None:
    text = PAGE.read_text(encoding="utf-8").split("\n## Functions\n")[1]
    listed = set(re.findall(r"^\| `(\w+)\(", text, flags=re.MULTILINE))
    assert listed == set(harness.__all__) - {"UserError"}
