"""The page of instrumentations has a row for every one that a captured call came from."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.golden.test_corpus import CASES, derived

PAGE = Path(__file__).parents[2] / "docs" / "instrumentation.md"
ROWS = [line.split("|") for line in PAGE.read_text().split("## Packages")[1].splitlines() if line.startswith("| ")]
PATTERNS = [text.replace("…", "*") for row in ROWS for text in re.findall("`([^`]+)`", row[1])]


@pytest.mark.parametrize("case_id", sorted(CASES))
def test_every_captured_instrumentation_has_a_row(case_id: str) -> None:
    for call in derived(case_id).calls:
        name = call.instrumentation.rpartition("@")[0] or call.instrumentation
        # OpenLLMetry has many packages; the row that means them all proves nothing.
        named = [pattern for pattern in PATTERNS if pattern != "opentelemetry.instrumentation.*"]
        assert any(fnmatchcase(name, pattern) for pattern in named), name


def test_each_row_says_what_is_sent_what_is_read_known_faults_and_what_to_set() -> None:
    assert len(ROWS) > 40
    assert {len(row) for row in ROWS} == {7}
    assert all(cell.strip() for row in ROWS for cell in row[1:6])
