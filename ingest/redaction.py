"""Redaction: what may be kept of an attribute, decided before the dialect is known and without losing a count.

Numbers, booleans, ids, models, tiers, names and usage objects stay; prompts, completions, tool arguments and
results go. Tool arguments and results leave a keyed hash, so that a loop, and whether it got anywhere, can be
recognised without knowing what it says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import orjson

from ingest import json_text

_NUMBERS = (bool, int, float)
_KEPT_WHATEVER_THE_KEY = (*_NUMBERS, type(None))

Reduced = tuple[str | None, Any, Mapping[str, Any] | None]
"""Key (None: dropped), what is kept, and attributes to add."""

MAX_IDENTIFIER = 200
MAX_NAME = 120
MAX_WORDS_OF_NAME = 4
MAX_SPACES_OF_NAME = 6
"""CrewAI's agents are called such as "Senior Market Research Analyst"."""
MAX_UNSPACED_WORDS = 4
"""In scripts without spaces: a name of a team or a place is shorter, a sentence is not."""
MAX_SPACES_INSIDE = 2
"""Inside JSON a key says less about its value: what is called `name` there may be a person's sentence."""
MAX_ITEMS = 64
MAX_DEPTH = 12

ARGUMENTS_HASH = "jevons.arguments_hash"
ARGUMENTS_BYTES = "jevons.arguments_bytes"
INPUT_HASH = "jevons.input_hash"
RESULT_HASH = "jevons.result_hash"
OUTPUT_HASH = "jevons.output_hash"
MAX_HASHED_OUTPUT = 65_536
"""Longer outputs are answers of models or whole documents; hashing them would cost more than it tells."""

_WORD = re.compile(r"[^a-zA-Z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_INDEX = re.compile(r"(\.\d+)+$")
_SPACE = re.compile(r"\s")
# Scripts without spaces, and how many letters make about a word: Chinese, and the syllables of Japanese, Thai, Lao,
# Burmese and Khmer.
_UNSPACED = (
    (re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), 2),
    (re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff]"), 5),
)
# Text that holds none of these has nothing to keep, and need not be parsed.
_COUNTS = re.compile(r"sage|[tT]oken|[cC]ost|[iI]d\b|[mM]odel|[tT]ier|reason|name")
# Logfire up to 4 keeps the question in request_data, since then only what else was asked for.
_ASKS = re.compile(r'"(?:messages|input|contents|prompt)":')
_PAIRS = re.compile(r"\b[A-Za-z_.]*[tT]okens?[A-Za-z_.]*['\"]?\s*[=:]\s*\d+")
_USAGE_CALL = re.compile(r"\busage=\w*Usage\(")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_FAULT = re.compile(r"\b(?:[A-Z]\w*(?:Error|Exception|Timeout)|\w+_error|(?:[Ee]rror code|status|http)[: =]*\d{3})\b")

# Last words of keys. Prose: text is dropped, JSON is reduced. Gone: dropped whatever it holds.
_PROSE = frozenset(
    [
        "input",
        "output",
        "value",
        "message",
        "messages",
        "prompt",
        "prompts",
        "completion",
        "completions",
        "response",
        "request",
        "question",
        "answer",
        "query",
        "text",
        "content",
        "contents",
        "reasoning",
        "thinking",
        "thought",
        "result",
        "results",
        "body",
        "data",
        "events",
        "event",
        "choices",
        "history",
        "context",
        "preview",
        "title",
        "transcript",
        "parameters",
    ]
)
_GONE = frozenset(
    [
        "instructions",
        "definitions",
        "description",
        "descriptions",
        "schema",
        "vector",
        "backstory",
        "goal",
        "stacktrace",
        "msg",
        "template",
        "tools",
        "functions",
        "command",
        "commands",
        "args",
        "arguments",
        "argument",
        "argv",
        "statement",
        "blob",
        "screenshot",
        "image",
        "audio",
        "diff",
        "patch",
        "snippet",
        "password",
        "secret",
        "authorization",
        "cookie",
        "email",
    ]
)
_GONE_KEYS = frozenset(
    (
        "gen_ai.input.messages",
        "gen_ai.system_instructions",
        "process.command_line",
        "process.command_args",
        "db.query.text",
        "ai.prompt.messages",
        "final_result",
        "tool_response",
        "file_path",
    )
)
_ARGUMENT_KEYS = frozenset(
    (
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.args",
        "gen_ai.tool.arguments",
        "ai.toolCall.args",
        "ai.toolCall.input",
        "tool_arguments",
        "arguments",
        "tool.parameters",
        "tool_input",
        "tool_parameters",
        "function_args",
        "tool.arguments",
        "mcp.tool.arguments",
    )
)
_INPUT_KEYS = frozenset(
    ("input.value", "gen_ai.input.messages", "traceloop.entity.input", "gen_ai.task.input", "ai.prompt.messages")
)
_RESULT_KEYS = frozenset(
    (
        "gen_ai.tool.call.result",
        "gen_ai.tool.result",
        "gen_ai.tool.output",
        "ai.toolCall.result",
        "ai.toolCall.output",
        "tool_response",
        "tool.result",
        "tool_result",
        "mcp.tool.result",
    )
)
_OUTPUT_KEYS = frozenset(("output.value", "traceloop.entity.output"))
# Ids that frameworks put around a result; they differ from run to run of the same tool with the same answer.
_RUN_IDS = re.compile(
    r"\b(?:call|toolu|fc|run|lc_run|msg|chatcmpl|resp|tooluse)[-_][A-Za-z0-9_-]+"
    r"|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
)
# Strings inside JSON are kept under keys that end in these words, when they are identifiers.
_IDENTIFIERS = frozenset(
    [
        "id",
        "ids",
        "model",
        "models",
        "type",
        "types",
        "tier",
        "reason",
        "reasons",
        "role",
        "status",
        "code",
        "provider",
        "region",
        "fingerprint",
        "effort",
        "modality",
        "mode",
        "kind",
        "currency",
        "llm",
        "object",
        "node",
        "version",
        "alias",
        "integration",
        "checkpoint",
        "ns",
        "thread",
        "session",
        "user",
        "team",
    ]
)
# They set a price where they stand in a usage object; elsewhere such keys may hold anything.
_PRICE_WORDS = ("speed", "inference_geo")
_PRICE_WORD = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_NAMES = frozenset(
    [
        "name",
        "role",
        "names",
        "model",
        "agent",
        "agents",
        "tag",
        "tags",
        "label",
        "labels",
        "team",
        "department",
        "center",
        "centre",
        "environment",
        "project",
    ]
)
# Below these keys of JSON there are only arguments and answers.
_BELOW_GONE = frozenset(
    ["arguments", "args", "input", "inputs", "parameters", "properties", "input_schema", "json_schema", "tools"]
)
_USAGE = re.compile(r"usage|token|cost", re.IGNORECASE)
_ATTRIBUTION = re.compile(r"metadata|association\.properties|(^|[._])tags?($|[._])|baggage", re.IGNORECASE)


class Redactor:
    """Reduces one attribute at a time; the same input always leaves the same output.

    Raises   nothing: what it does not understand is dropped.
    """

    def __init__(self, key: bytes, *, keep_content: bool = False) -> None:
        """`key` belongs to the installation: without it a hash of arguments cannot be guessed from outside."""
        self._key = key
        self._keep = keep_content

    def __call__(self, key: str, value: Any) -> Reduced:
        """Reduce an attribute to what may be kept."""
        if self._keep or isinstance(value, _KEPT_WHATEVER_THE_KEY):
            return key, value, None
        rule = _rule(key)
        if rule.is_argument:
            text = value if isinstance(value, str) else _dumped(value)
            raw = text.encode(errors="replace")
            return None, None, {ARGUMENTS_HASH: self._hash(raw), ARGUMENTS_BYTES: len(raw)}
        extra = None
        if rule.is_input or (key == "request_data" and _ASKS.search(str(value))):
            text = value if isinstance(value, str) else _dumped(value)
            extra = {INPUT_HASH: self._hash(text.encode(errors="replace"))}
        elif rule.is_result or rule.is_output:
            extra = self._result(rule, value)
        kept = _reduced(rule, value)
        return (None, None, extra) if kept is None else (key, kept, extra)

    def fault(self, text: str) -> str | None:
        """What an error message says about the kind of error; messages may quote the prompt."""
        return text if self._keep or not text else _fault(text)

    def name(self, text: str) -> str:
        """A span's or event's name, cut where it is longer than any name."""
        if self._keep or (len(text) <= MAX_IDENTIFIER and _gaps(text) < MAX_WORDS_OF_NAME):
            return text
        # CrewAI names a span after the task it was told to do, and adds `.task`.
        suffix = text.rpartition(".")[2]
        return suffix if suffix.isidentifier() else "span"

    def _result(self, rule: "_Rule", value: Any) -> Mapping[str, Any] | None:
        """The keyed hash of a tool's result without the ids of its run; None for outputs that count tokens."""
        text = value if isinstance(value, str) else _dumped(value)
        if rule.is_output and (len(text) > MAX_HASHED_OUTPUT or "oken" in text):
            return None
        raw = _RUN_IDS.sub("", text).encode(errors="replace")
        return {RESULT_HASH if rule.is_result else OUTPUT_HASH: self._hash(raw)}

    def _hash(self, raw: bytes) -> str:
        return blake2b(raw, key=self._key[:64], digest_size=16).hexdigest()


@dataclass(slots=True, frozen=True)
class _Rule:
    """What a key alone says about its values."""

    bare: str
    """Without the index of an item at its end."""
    word: str
    is_argument: bool
    is_input: bool
    is_result: bool
    is_output: bool
    is_gone: bool
    is_attribution: bool
    is_fault: bool


@lru_cache(maxsize=10_000)
def _rule(key: str) -> _Rule:
    bare = _INDEX.sub("", key) if key[-1:].isdigit() else key
    word = _last_word(bare)
    return _Rule(
        bare=bare,
        word=word,
        is_argument=key in _ARGUMENT_KEYS,
        is_input=key in _INPUT_KEYS,
        is_result=key in _RESULT_KEYS,
        is_output=key in _OUTPUT_KEYS,
        is_gone=bare in _GONE_KEYS or word in _GONE,
        is_attribution=_ATTRIBUTION.search(bare) is not None,
        is_fault=(word in ("message", "error") and "exception" in bare) or bare == "error.message",
    )


def _reduced(rule: _Rule, value: Any) -> Any:
    """What stays of an attribute that is text, list or map; None for nothing."""
    word, is_attribution = rule.word, rule.is_attribution
    if rule.is_gone:
        # A usage object under such a name is still a usage object.
        return _fragments(value) if isinstance(value, str) and "sage" in value else None
    if isinstance(value, str):
        head = value[:1]
        if head in "{[" or (head == '"' and value[1:2] in "{["):
            return _reduced_text(value, is_attribution, rule.bare)
        if rule.is_fault:
            return _fault(value)
        if word in _PROSE and not is_attribution:
            return _fragments(value)
        return value if _is_kept_text(value, word) else _fragments(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        if word in _PROSE and not is_attribution:
            return None
        return [item for item in value[:MAX_ITEMS] if _is_kept_text(item, word)] or None
    return _tree(value, is_attribution, 0)


def _is_kept_text(value: str, word: str, max_spaces: int = MAX_SPACES_OF_NAME) -> bool:
    if len(value) > MAX_IDENTIFIER:
        return False
    # Most values are ASCII, and these two say in an instant what the search for white space says.
    if " " not in value and value.isascii() and value.isprintable():
        return True
    if not _SPACE.search(value) and (value.isascii() or _unspaced_words(value) <= MAX_UNSPACED_WORDS):
        return True
    return word in _NAMES and len(value) <= MAX_NAME and "\n" not in value and _gaps(value) <= max_spaces


def _gaps(text: str) -> int:
    """Gaps between the words of a text: its spaces, and in scripts without spaces an estimate."""
    if text.isascii():
        return text.count(" ")
    return text.count(" ") + int(max(0.0, _unspaced_words(text) - 1))


def _unspaced_words(text: str) -> float:
    """About how many words a text has in scripts that are written without spaces."""
    return sum(len(letters.findall(text)) / per_word for letters, per_word in _UNSPACED)


def _reduced_text(value: str, is_attribution: bool, key: str) -> str | None:
    # Langfuse's usage_details may hold nothing but `{"input": 1237, "output": 613}`: the key alone says what it is.
    if not is_attribution and not _COUNTS.search(value) and not _USAGE.search(key):
        return None
    document = json_text.parse(value)
    if document is None:
        return _fragments(value)
    if isinstance(document, list) and all(isinstance(item, str) for item in document):
        # Tags and names as JSON text.
        word = _last_word(key)
        strings = [item for item in document[:MAX_ITEMS] if _is_kept_text(item, word)]
        kept: Any = strings if is_attribution or word in _NAMES or word in _IDENTIFIERS else None
    else:
        kept = _tree(document, is_attribution, 0)
    return None if kept is None else _dumped(kept)


def _tree(value: Any, is_attribution: bool, depth: int) -> Any:
    """JSON without prose: numbers, and strings that are identifiers under keys that hold identifiers."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for key, inner in value.items():
            if not isinstance(key, str) or len(key) > MAX_NAME:
                continue
            rule = _leaf_rule(key)
            if rule is None:
                continue
            reduced = _leaf(key, rule, inner, is_attribution, depth)
            if reduced is not None:
                kept[key] = reduced
        if "output_tokens" in value:
            kept.update(_price_words(value))
        return kept or None
    if isinstance(value, list):
        if len(value) > MAX_ITEMS and all(isinstance(item, int | float) for item in value):
            return None  # a vector
        items = [_tree(item, is_attribution, depth + 1) for item in value[:MAX_ITEMS]]
        return [item for item in items if item is not None] or None
    if isinstance(value, str):
        return None if value[:1] not in ("{", "[") else _nested(value, is_attribution, depth)
    return None


def _price_words(usage: Mapping[str, Any]) -> dict[str, str]:
    """The words of a usage object that set its price, where they are identifiers."""
    told = {key: usage.get(key) for key in _PRICE_WORDS}
    return {key: word for key, word in told.items() if isinstance(word, str) and _PRICE_WORD.fullmatch(word)}


@lru_cache(maxsize=10_000)
def _leaf_rule(key: str) -> tuple[str, bool, bool] | None:
    """The last word of a key of JSON, and whether text may stay under it: anywhere, and in attribution.

    None for what is no key but a sentence.
    """
    if _SPACE.search(key):
        return None
    word = _last_word(key)
    is_content = word in _GONE or word in _PROSE
    is_named = word in _IDENTIFIERS or word in _NAMES or _USAGE.search(key) is not None
    return word, is_named and not is_content, not is_content


def _leaf(key: str, rule: tuple[str, bool, bool], value: Any, is_attribution: bool, depth: int) -> Any:
    if isinstance(value, _NUMBERS):
        return value
    if value is None or key in _BELOW_GONE:
        return None
    word, is_text_kept, is_text_kept_in_attribution = rule
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            return _nested(value, is_attribution, depth)
        allowed = is_text_kept_in_attribution if is_attribution else is_text_kept
        return value if allowed and _is_kept_text(value, word, MAX_SPACES_INSIDE) else _usage_call(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        if word in _IDENTIFIERS or word in _NAMES or is_attribution:
            return [item for item in value[:MAX_ITEMS] if _is_kept_text(item, word)] or None
        if word not in _PROSE:
            return None
    if isinstance(value, list) and len(value) > 8 and all(isinstance(item, int | float) for item in value):
        return None  # a vector or log probabilities
    return _tree(value, is_attribution, depth + 1)


def _nested(value: str, is_attribution: bool, depth: int) -> str | None:
    """JSON text inside JSON, kept as text."""
    if not _COUNTS.search(value):
        return None
    document = json_text.parse(value)
    kept = None if document is None else _tree(document, is_attribution, depth + 1)
    return _dumped(kept) if kept is not None else _usage_call(value)


def _fragments(text: str) -> str | None:
    """Counts out of text that is no JSON: `usage=CompletionUsage(…)` of a Python repr, or `total_tokens=12`."""
    if "oken" not in text:
        return None
    return _usage_call(text) or " ".join(_PAIRS.findall(text)) or None


def _usage_call(text: str) -> str | None:
    found = _USAGE_CALL.search(text) if "sage" in text else None
    if found is None:
        return None
    depth = 0
    for at in range(found.end() - 1, min(len(text), found.end() + 4_000)):
        if text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return _QUOTED.sub("None", text[found.start() : at + 1])
    return None


def _fault(text: str) -> str | None:
    return " ".join(dict.fromkeys(_FAULT.findall(text[:2000])))[:MAX_IDENTIFIER] or None


def _dumped(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()


@lru_cache(maxsize=10_000)
def _last_word(key: str) -> str:
    words = [word for word in _WORD.split(key) if word]
    return words[-1].lower() if words else ""
