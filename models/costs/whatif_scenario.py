"""Scenarios of a what-if: what would be different, read from TOML or JSON with every fault named."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from models.core.errors import BadInput

KINDS = ("same", "price_book", "deployment", "cache", "route")
CACHE_POLICIES = ("none", "5m", "1h")


@dataclass(slots=True, frozen=True, kw_only=True)
class Machine:
    """Hardware that would serve the calls, or one phase of them."""

    accelerator: str
    chips: int
    usd_per_chip_hour: Decimal


@dataclass(slots=True, frozen=True, kw_only=True)
class Scenario:
    """One kind of change with its figures; what a kind does not use stays at its default."""

    kind: str
    model: str | None = None
    """deployment: architecture of the catalogue; route: the model to price instead."""
    provider: str | None = None
    """route: the provider to price instead."""
    token_ratio: Decimal = Decimal(1)
    """route: tokens the other model needs for the same work, per token now."""
    precision: str = "fp8"
    kv_precision: str = "bf16"
    concurrency: int = 1
    utilisation: Decimal = Decimal(1)
    """deployment: share of the provisioned time that is occupied; the rest is paid for as well."""
    machine: Machine | None = None
    decode_machine: Machine | None = None
    """Second machine: `machine` then only reads prompts, this one only writes answers."""
    policy: str | None = None
    hit_rate: Decimal | None = None
    """cache: reads ÷ all input; None keeps the reads there were."""
    multiplier: Decimal | None = None
    """price_book: every price times this; None takes the rates of the book named."""
    book: str | None = None


def scenario_of(document: Mapping[str, Any]) -> Scenario:
    """A scenario from its table.

    Raises   BadInput naming each field and the reason.
    """
    reader = _Reader(dict(document))
    kind = reader.word("kind", KINDS)
    made = Scenario(kind=kind)
    if kind == "deployment":
        made = _deployment(reader)
    elif kind == "cache":
        policy = reader.word("policy", CACHE_POLICIES)
        made = Scenario(kind=kind, policy=policy, hit_rate=reader.share("hit_rate"))
        if policy == "none" and made.hit_rate:
            reader.fault("hit_rate", "has to be 0 or left out; without a cache nothing hits")
    elif kind == "route":
        made = Scenario(
            kind=kind,
            model=reader.text("model"),
            provider=reader.text("provider"),
            token_ratio=reader.decimal("token_ratio", Decimal(1)),
        )
    elif kind == "price_book":
        multiplier = reader.optional_decimal("multiplier")
        made = Scenario(kind=kind, multiplier=multiplier, book=reader.optional_text("book"))
        if (made.multiplier is None) == (made.book is None):
            reader.fault("book", "give either a book or a multiplier")
    reader.finish()
    return made


def _deployment(reader: "_Reader") -> Scenario:
    machine = reader.machine("")
    decode = None
    if "decode" in reader.document:
        inner = _Reader(reader.document.pop("decode"), "decode.", reader.faults)
        decode = inner.machine("")
        inner.finish(stop=False)
    utilisation = reader.share("utilisation")
    return Scenario(
        kind="deployment",
        model=reader.text("model"),
        precision=reader.optional_text("precision") or "fp8",
        kv_precision=reader.optional_text("kv_precision") or "bf16",
        concurrency=reader.count("concurrency", 1),
        utilisation=Decimal(1) if utilisation is None else utilisation,
        machine=machine,
        decode_machine=decode,
    )


class _Reader:
    """Fields taken one by one; faults are gathered and raised together."""

    def __init__(self, document: Any, prefix: str = "", faults: list[dict[str, str]] | None = None) -> None:
        self.faults: list[dict[str, str]] = [] if faults is None else faults
        self.prefix = prefix
        self.document: dict[str, Any] = document if isinstance(document, dict) else {}
        if not isinstance(document, dict):
            self.fault("", "has to be a table")

    def fault(self, name: str, reason: str) -> None:
        self.faults.append({"field": f"scenario.{self.prefix}{name}".rstrip("."), "reason": reason})

    def finish(self, *, stop: bool = True) -> None:
        for name in self.document:
            self.fault(name, "unknown for this kind of scenario")
        if stop and self.faults:
            listed = "; ".join(f"{fault['field']}: {fault['reason']}" for fault in self.faults)
            raise BadInput(f"the scenario cannot be read: {listed}.", self.faults)

    def text(self, name: str) -> str:
        value = self.document.pop(name, None)
        if not isinstance(value, str) or not value:
            self.fault(name, "is missing" if value is None else "has to be a text")
            return ""
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if name in self.document else None

    def word(self, name: str, among: tuple[str, ...]) -> str:
        value = self.document.pop(name, None)
        if value not in among:
            self.fault(name, f"has to be one of {', '.join(among)}")
            return among[0]
        return value

    def count(self, name: str, default: int | None = None) -> int:
        value = self.document.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.fault(name, "is missing" if value is None else f"is {value!r}; has to be a whole number above 0")
            return 1
        return value

    def decimal(self, name: str, default: Decimal | None = None) -> Decimal:
        value = self.document.pop(name, default)
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if value is None or isinstance(value, bool) or not number.is_finite() or number < 0:
            self.fault(name, "is missing" if value is None else f"is {value!r}; has to be a number of at least 0")
            return Decimal(1)
        return number

    def optional_decimal(self, name: str) -> Decimal | None:
        return self.decimal(name) if name in self.document else None

    def share(self, name: str) -> Decimal | None:
        value = self.optional_decimal(name)
        if value is not None and value > 1:
            self.fault(name, f"is {value}; has to be between 0 and 1")
        if name == "utilisation" and value == 0:
            self.fault(name, "is 0; a machine that nobody uses serves no call")
        return value

    def machine(self, prefix: str) -> Machine:
        return Machine(
            accelerator=self.text(f"{prefix}accelerator"),
            chips=self.count(f"{prefix}chips"),
            usd_per_chip_hour=self.decimal(f"{prefix}usd_per_chip_hour"),
        )
