"""GitHub's AI usage report: lines read exactly, bad ones named, repeats recognised, the pool shared by consumption."""

import gzip
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.statements.copilot import read_reports
from models.costs.pooled import consumption_shares, ties

HEADER = (
    "date,username,product,sku,model,quantity,unit_type,applied_cost_per_quantity,gross_amount,discount_amount,"
    "net_amount,organization,repository,cost_center_name\n"
)
ALICE = "2026-10-02,alice,copilot,copilot_ai_credits,Model L,612.5,ai-credits,0.01,6.125,6.125,0.000,acme,,CC-5200\n"
BOB = "2026-10-02,bob,copilot,copilot_ai_credits,Model S,1180.25,ai-credits,0.01,11.8025,7.00,4.8025,acme,,CC-5200\n"


def written(folder: Path, *lines: str, name: str = "report.csv", header: str = HEADER) -> Path:
    file = folder / name
    file.write_text(header + "".join(lines))
    return file


def test_github_copilot_credits_are_read_exactly_and_tie_to_the_report(tmp_path: Path) -> None:
    report = read_reports([written(tmp_path, ALICE, BOB)])
    assert report.rejections == []
    assert [(line.user, line.model, line.micro_units) for line in sorted(report.lines, key=lambda x: x.user or "")] == [
        ("alice", "Model L", 612_500_000),
        ("bob", "Model S", 1_180_250_000),
    ]
    (tie,) = ties(report.lines)
    # 1,792.75 credits at a cent are the 17.9275 USD gross of the report; 13.125 of them are included.
    assert (tie.credits, tie.consumed, tie.gross, tie.discount, tie.net) == tuple(
        map(Decimal, ("1792.75", "17.9275", "17.9275", "13.125", "4.8025"))
    )
    assert tie.off == 0
    assert tie.is_tied


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param(ALICE.replace("612.5", "many"), "quantity 'many' is no number", id="no-number"),
        pytest.param(ALICE.replace("612.5,", "nan,"), "out of range", id="nan"),
        pytest.param(ALICE.replace("612.5,", "-1,").replace("6.125,6.125", "-.01,-.01"), "below zero", id="neg"),
        pytest.param(ALICE.replace("2026-10-02", "02/10/2026"), "not written YYYY-MM-DD", id="date"),
        pytest.param(ALICE.replace("alice", ""), "no username", id="nobody"),
        pytest.param(ALICE.replace("ai-credits,", "requests,"), "unit_type 'requests'", id="premium-requests"),
        pytest.param(ALICE.replace("6.125,6.125,0.000", "6.125,6.125,1.5"), "net_amount 1.5 is not", id="net"),
        pytest.param(ALICE.replace("6.125,6.125", "61.25,61.25"), "gross_amount 61.25 is not", id="gross"),
        pytest.param(ALICE.replace(",acme,,CC-5200", ""), "fewer fields", id="short"),
        pytest.param(ALICE.replace("\n", ",more\n"), "more fields", id="long"),
    ],
)
def test_a_bad_line_is_named_and_its_good_neighbour_kept(tmp_path: Path, line: str, why: str) -> None:
    file = written(tmp_path, line, BOB)
    report = read_reports([file])
    assert [found.user for found in report.lines] == ["bob"]
    (rejection,) = report.rejections
    assert rejection.position == f"{file}:2"
    assert why in rejection.reason


def test_a_file_that_is_no_report_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    written(tmp_path, "1,2\n", name="other.csv", header="a,b\n")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress((HEADER + ALICE).encode()))
    report = read_reports([tmp_path])
    assert (report.files, len(report.lines), len(report.rejections)) == (2, 1, 1)
    assert "date, username" in report.rejections[0].reason


def test_overlapping_files_tell_a_line_once_and_equal_lines_of_one_file_are_two(tmp_path: Path) -> None:
    one = written(tmp_path, ALICE, ALICE, BOB, name="a.csv")
    two = written(tmp_path, BOB, ALICE, ALICE, name="b.csv")
    report = read_reports([one, two])
    assert (len(report.lines), report.repeated) == (3, 3)
    # Of one line in two reports the later one counts.
    three = written(tmp_path, BOB.replace("7.00,4.8025", "8.00,3.8025"), name="c.csv")
    assert sum(line.net for line in read_reports([one, three]).lines) == Decimal("3.8025")


def test_credits_finer_than_a_millionth_are_rounded_and_still_tie(tmp_path: Path) -> None:
    line = ALICE.replace("612.5,", "612.50000049,")
    (found,) = read_reports([written(tmp_path, line)]).lines
    assert found.micro_units == 612_500_000
    assert ties([found])[0].is_tied


_amounts = st.decimals(min_value=0, max_value=10_000, places=4, allow_nan=False)


@given(st.dictionaries(st.binary(min_size=4, max_size=4), st.tuples(_amounts, _amounts), min_size=1, max_size=12))
def test_shares_of_a_pool_sum_to_what_is_billed_and_follow_consumption(
    lines: dict[bytes, tuple[Decimal, Decimal]],
) -> None:
    net = {origin: min(pair) for origin, pair in lines.items()}
    consumed = {origin: max(pair) for origin, pair in lines.items()}
    shares = consumption_shares(net, consumed)
    assert sum(shares.values()) == sum(net.values())
    ordered = sorted(consumed, key=lambda origin: consumed[origin])
    assert all(shares[less] <= shares[more] + Decimal("1e-15") for less, more in pairwise(ordered))
