"""GitHub's AI usage report (CSV): AI credits by day, user, model and cost centre, gross, discount and net.

Source   GitHub's documentation of usage-based Copilot billing, as of November 2026: one AI credit is 0.01 USD,
         net = gross − discount, days are UTC, a file holds at most 31 days.
"""

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ingest.transcripts.common import content_id, files_below
from models.core.money import SCALE
from models.core.reported import AI_CREDITS, ReportedLine
from models.core.telemetry import Rejection

PROVIDER = "github"
UNIT = "ai-credits"
COLUMNS = (
    "date",
    "username",
    "product",
    "sku",
    "model",
    "quantity",
    "unit_type",
    "applied_cost_per_quantity",
    "gross_amount",
    "discount_amount",
    "net_amount",
)
"""Columns that a report must have; organization, repository and cost_center_name may lack."""
MOST_OFF = Decimal("0.005")
"""Share, and USD, by which amounts of one line may disagree: amounts are rounded, columns out of place differ more."""
LARGEST = Decimal(10) ** 12
PRICE_DIGITS = 9


class BadLine(Exception):
    """Why a line cannot be taken."""


@dataclass(slots=True)
class Report:
    """What files of usage reports say, and what of them could not be read."""

    lines: list[ReportedLine] = field(default_factory=list[ReportedLine])
    rejections: list[Rejection] = field(default_factory=list[Rejection])
    files: int = 0
    repeated: int = 0
    """Lines met again in another file."""


def read_reports(paths: Sequence[Path], on_line: Callable[[], None] = lambda: None) -> Report:
    """Every line of these reports, once. A bad line is named and its neighbours are kept.

    Shapes   n files or directories → lines in the order of their days; of one line in two files the last counts.
    Raises   BadInput for a path that does not exist.
    """
    report = Report()
    found: dict[bytes, ReportedLine] = {}
    for path in files_below(paths, (".csv", ".csv.gz")):
        report.files += 1
        of_file: dict[bytes, ReportedLine] = {}
        for line in _lines(path, report.rejections, on_line):
            # Two lines about the same thing in one file are two; in two files they are one.
            origin, number = line.origin_id, 0
            while line.origin_id in of_file:
                number += 1
                line = _numbered(line, origin, number)
            of_file[line.origin_id] = line
        report.repeated += sum(origin in found for origin in of_file)
        found |= of_file
    report.lines = sorted(found.values(), key=lambda line: (line.day, line.origin_id))
    return report


def _numbered(line: ReportedLine, origin: bytes, number: int) -> ReportedLine:
    from dataclasses import replace

    return replace(line, origin_id=content_id(16, origin, number))


def _lines(path: Path, rejections: list[Rejection], on_line: Callable[[], None]) -> Iterator[ReportedLine]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, gzip.BadGzipFile) as fault:
        rejections.append(Rejection(position=str(path), reason=f"cannot be read: {fault}"))
        return
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        reason = f"no AI usage report: column {', '.join(missing)} is missing"
        rejections.append(Rejection(position=str(path), reason=reason))
        return
    read: list[ReportedLine] = []
    while True:
        try:
            row = next(reader, None)
        except csv.Error as fault:
            rejections.append(Rejection(position=f"{path}:{reader.line_num}", reason=f"no CSV: {fault}"))
            continue
        if row is None:
            break
        on_line()
        position = f"{path}:{reader.line_num}"
        try:
            read.append(_line(row, position))
        except BadLine as fault:
            rejections.append(Rejection(position=position, reason=str(fault)))
    # Lines about the same thing are numbered by their amounts, so that the order of the file does not matter.
    yield from sorted(read, key=lambda line: (line.quantity, line.gross, line.net))


def _line(row: dict[str, str | None], position: str) -> ReportedLine:
    if None in row.values():
        raise BadLine("fewer fields than columns")
    if None in row:
        raise BadLine("more fields than columns")
    text = {name: (value or "").strip() for name, value in row.items()}
    if text["unit_type"].lower() != UNIT:
        raise BadLine(
            f"unit_type {text['unit_type']!r} of {text['sku'] or 'no SKU'}: only {UNIT} are imported; "
            "premium requests ended with usage-based billing"
        )
    day = _day(text["date"])
    if not text["username"]:
        raise BadLine("no username")
    quantity, price = _amount(text, "quantity"), _amount(text, "applied_cost_per_quantity", PRICE_DIGITS)
    gross, discount = _amount(text, "gross_amount"), _amount(text, "discount_amount")
    net = _amount(text, "net_amount")
    for name, value in (("quantity", quantity), ("applied_cost_per_quantity", price)):
        if value < 0:
            raise BadLine(f"{name} {value} is below zero")
    if _differs(gross - discount, net):
        raise BadLine(f"net_amount {net} is not gross_amount {gross} less discount_amount {discount}")
    if _differs(quantity * price, gross):
        raise BadLine(f"gross_amount {gross} is not quantity {quantity} times {price}")
    keys = ("username", "product", "sku", "model", "organization", "repository", "cost_center_name")
    named = {name: text.get(name) or None for name in keys}
    return ReportedLine(
        origin_id=content_id(16, PROVIDER, day.isoformat(), str(price.normalize()), *named.values()),
        day=day,
        provider=PROVIDER,
        service=named["product"] or "copilot",
        operation=named["sku"] or "ai_credits",
        bucket=AI_CREDITS,
        model=named["model"],
        user=named["username"],
        cost_center=named["cost_center_name"],
        organization=named["organization"],
        repository=named["repository"],
        quantity=quantity,
        price_per_unit=price,
        gross=gross,
        discount=discount,
        net=net,
        position=position,
    )


def _day(text: str) -> date:
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        raise BadLine(f"date {text!r} is not written YYYY-MM-DD") from None
    if text[10:] not in ("", "T00:00:00Z", "T00:00:00.000Z"):
        raise BadLine(f"date {text!r} is no whole UTC day")
    if not 2025 <= found.year <= 2100:
        raise BadLine(f"date {text!r} lies outside of 2025 to 2100")
    return found


def _amount(text: dict[str, str], name: str, digits: int = SCALE) -> Decimal:
    """Through the text, so that no float touches it."""
    try:
        value = Decimal(text[name])
    except InvalidOperation:
        raise BadLine(f"{name} {text[name]!r} is no number") from None
    if not value.is_finite() or abs(value) >= LARGEST:
        raise BadLine(f"{name} {text[name]!r} is out of range")
    if -int(value.normalize().as_tuple().exponent) > digits:
        raise BadLine(f"{name} {text[name]!r} has more than {digits} digits after the point")
    return value


def _differs(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) > max(MOST_OFF, MOST_OFF * abs(other))
