"""Checks the wording of docstrings, comments, messages and documentation against the rules of the project's language.

To check another file or folder, add it to `CHECKED`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: files and folders whose texts follow the rules
CHECKED = [
    "harness", "variants", "reports", "sweeps", "recipes", "benchmarks", "tests", "docs", "README.md", "CONTRIBUTING.md",
    "CHANGELOG.md", "Makefile", "pyproject.toml", "mkdocs.yml", ".github", ".pre-commit-config.yaml",
]  # fmt: skip
SUFFIXES = (".py", ".md", ".yaml")
#: regular expression of forbidden words -> words to use instead
WORDS = {
    "anew": "again",
    "nobody|somebody|anybody": "a noun, such as user or process",
    "besides?": "next to, alongside, in addition to",
    "who(so)?ever": "a noun, such as user or caller",
    "lookers?": "reader, probe",
    "in vain": "without success",
    "mend(s|ed|ing)?": "repair",
    "dear(er|est)": "more expensive, most expensive, highest",
    "told|tells|telling|(?<!ask and )(?<!ask-and-)tell": "report, show, distinguish",
    "in the midst": "during",
    "gone on from": "resumed",
    "stands? against": "prevents, warns",
}
FIRST_WORDS = ("What ", "Whether ", "Lets ", "Those ", "Who ", "Whoever ", "Where ", "How ")


def checked_files() -> list[Path]:
    """Returns the files to check, in the order of `CHECKED`."""
    found: list[Path] = []
    for name in CHECKED:
        path = ROOT / name
        assert path.exists(), f"{name} is in CHECKED but does not exist"
        found += [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.suffix in SUFFIXES)
    return [path for path in found if path != Path(__file__).resolve()]  # it names the words


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (line, text) of every comment and string of a Python file, and of every line of another file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), start=1)
        return
    kinds = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in kinds:
            yield token.start[0], token.string


def forbidden_words(path: Path) -> list[str]:
    """Returns 'line LINE: WORD, write ...' for every forbidden word; a phrase may be broken over two lines of a text."""
    found = []
    for line, text in texts_of(path):
        words = re.sub(r"\s+", " ", text)
        for pattern, instead in WORDS.items():
            for match in re.finditer(rf"\b(?:{pattern})\b", words, re.IGNORECASE):
                found.append(f"line {line}: {match[0]}, write {instead}")
    return found


def docstrings_without_a_verb(source: str) -> list[str]:
    """Returns the names of public functions whose docstring starts with one of `FIRST_WORDS`."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    public = [node for node in functions if not node.name.startswith("_")]
    return [node.name for node in public if (ast.get_docstring(node) or "").startswith(FIRST_WORDS)]


FILES = checked_files()
PYTHON = [path for path in FILES if path.suffix == ".py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_avoid_forbidden_words(path: Path) -> None:
    assert forbidden_words(path) == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_of_public_functions_start_with_a_verb(path: Path) -> None:
    assert docstrings_without_a_verb(path.read_text(encoding="utf-8")) == []


PLANTED = '''"""Mended, and started anew, in
    vain."""

def tell() -> str:
    """Whether it is so."""
    return f"{tell()} besides"  # nobody knows
'''


def test_the_checks_find_planted_faults(tmp_path: Path) -> None:
    path = tmp_path / "planted.py"
    path.write_text(PLANTED, encoding="utf-8")
    found = {item.split(", write")[0] for item in forbidden_words(path)}
    expected = {"line 1: Mended", "line 1: anew", "line 1: in vain", "line 6: besides", "line 6: nobody"}
    assert found - {"line 6: tell"} == expected  # Python 3.11 reads the code in an f-string as text
    assert docstrings_without_a_verb(PLANTED) == ["tell"]


def test_the_checks_accept_similar_words(tmp_path: Path) -> None:
    path = tmp_path / "plain.md"
    path.write_text(
        "A storyteller amends the ask-and-tell interface: intelligent, renewed, lookup.\n", encoding="utf-8"
    )
    assert forbidden_words(path) == []
