"""The words of the product: buckets, statuses and dimensions, spelt once."""

from collections.abc import Mapping
from enum import StrEnum


class Bucket(StrEnum):
    """A disjoint kind of token. Their sum is what the provider processed."""

    INPUT = "input"
    CACHE_READ = "cache_read"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    CACHE_WRITE_UNKNOWN = "cache_write_unknown"
    TOOL_USE_INPUT = "tool_use_input"
    OUTPUT = "output"
    REASONING = "reasoning"


BUCKETS: tuple[Bucket, ...] = tuple(Bucket)
INPUT_BUCKETS: tuple[Bucket, ...] = BUCKETS[:6]
OUTPUT_BUCKETS: tuple[Bucket, ...] = BUCKETS[6:]
CACHE_WRITE_BUCKETS: tuple[Bucket, ...] = (
    Bucket.CACHE_WRITE_5M,
    Bucket.CACHE_WRITE_1H,
    Bucket.CACHE_WRITE_UNKNOWN,
)


class Detail(StrEnum):
    """A part of a bucket, or a count beside the tokens, that a provider prices apart.

    The audio and image parts lie *inside* their bucket (`input_audio` is part of `input`, which is what was not read
    from the cache): rating takes them out before it prices the rest. The requests are counts of their own.
    """

    INPUT_AUDIO = "input_audio"
    CACHE_READ_AUDIO = "cache_read_audio"
    OUTPUT_AUDIO = "output_audio"
    INPUT_IMAGE = "input_image"
    CACHE_READ_IMAGE = "cache_read_image"
    OUTPUT_IMAGE = "output_image"
    WEB_SEARCH_REQUESTS = "web_search_requests"
    CODE_EXECUTION_REQUESTS = "code_execution_requests"


READ_FROM_CACHE: Mapping[Detail, Detail] = {
    Detail.INPUT_AUDIO: Detail.CACHE_READ_AUDIO,
    Detail.INPUT_IMAGE: Detail.CACHE_READ_IMAGE,
}
"""Part of the fresh input → the same kind of tokens where they were read from the cache. Beside cached tokens, a part
whose second is missing (not 0) may have been read from the cache, nobody knows how much of it."""


class Anatomy(StrEnum):
    """Counts of what a request was made of: parts of its input, and of its output. They have no price of their own."""

    PROMPT_SYSTEM = "prompt_system"
    PROMPT_TOOLS = "prompt_tools"
    PROMPT_HISTORY = "prompt_history"
    DRAFTED = "drafted"
    """Tokens that a draft proposed: speculative decoding, or a predicted output."""
    ACCEPTED = "accepted"
    """Drafted tokens that the model kept."""


class Signal(StrEnum):
    """The OTLP signal a record came in."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"


class CallStatus(StrEnum):
    """How the request to the provider ended."""

    OK = "ok"
    ERROR = "error"


class UsageSource(StrEnum):
    """How far the token counts of a call can be trusted."""

    REPORTED = "reported"
    PARTIAL = "partial"
    ESTIMATED = "estimated"
    ABSENT = "absent"


class PriceStatus(StrEnum):
    """Whether a rate was in force for every bucket of the call."""

    PRICED = "priced"
    UNPRICED = "unpriced"


class ChargeClass(StrEnum):
    """What a charge is about; corrections amend charges of closed periods."""

    USAGE = "usage"
    REPORTED_USAGE = "reported_usage"
    """Usage that a provider's report tells and no call of ours: Copilot's AI credits."""
    ALLOCATION = "allocation"
    """A part of a call's cost that another agent carries; over the agents of a call they sum to nothing."""
    CORRECTION = "correction"
    IDLE = "idle"
    PURCHASE = "purchase"
    CREDIT = "credit"
    TAX = "tax"


class CostBasis(StrEnum):
    """Which of the three costs sorts and charts; all three are always returned."""

    LIST = "list"
    BILLED = "billed"
    EFFECTIVE = "effective"


class Granularity(StrEnum):
    """The width of a time cell in an answer."""

    NONE = "none"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


NARROW_DIMENSIONS: tuple[str, ...] = (
    "project",
    "team",
    "cost_center",
    "environment",
    "service",
    "agent",
    "agent_path",
    "provider",
    "model",
    "deployment",
    "operation",
    "hardware",
)
"""Dimensions interned in an attribution; any grouping of them is answered from rollups."""

WIDE_DIMENSIONS: tuple[str, ...] = ("task", "session", "user")
"""Dimensions of one unit of work, answered per day."""

DIMENSIONS: tuple[str, ...] = (*NARROW_DIMENSIONS, *WIDE_DIMENSIONS, "bucket")
"""Every dimension `group_by` takes, besides `tag:KEY`."""


class PriceKind(StrEnum):
    """Whose price a rate is: the provider's published one, or one agreed with this customer."""

    LIST = "list"
    CONTRACT = "contract"
