"""The house holds: floors, words, and no float for money."""

import ast
from pathlib import Path

import pytest

from models.core.vocabulary import BUCKETS, DIMENSIONS

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "ingest", "models", "dashboards", "migrations")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in SOURCES]


@pytest.mark.parametrize("path", MODULES)
def test_every_file_says_what_it_is_in_its_first_line(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{path} has no docstring"
    assert docstring.splitlines()[0].rstrip().endswith((".", "?")), f"{path}: the first line is no sentence"


@pytest.mark.parametrize("path", [p for p in MODULES if "models/tables" in str(p.id)])
def test_no_table_keeps_money_in_a_float(path: Path) -> None:
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    assert not names & {"Float", "REAL", "DOUBLE_PRECISION", "Double"}, f"{path} declares a float column"


def test_the_glossary_has_the_words_of_the_tables() -> None:
    words = (ROOT / "docs" / "architecture.md").read_text()
    for word in ("call", "bucket", "charge", "link group", "unpriced", "attribution", "rollup cell", "rejection"):
        assert f"| {word}" in words or f", {word}" in words, f"the glossary lacks {word}"


def test_buckets_and_dimensions_are_spelt_once() -> None:
    assert len(set(BUCKETS)) == 8
    assert len(set(DIMENSIONS)) == len(DIMENSIONS)
