"""JSON inside attribute values: parsed when it is JSON, a Python literal or a dataclass repr; None otherwise."""

import ast
import re
from typing import Any

import orjson

MAX_CHARS = 2_000_000
_REPR_USAGE = re.compile(r"usage=((?:Completion|Response)?Usage\()")


def parse(value: Any) -> Any:
    """A dict or list, out of a dict, JSON text or Python-literal text (`{'prompt_tokens': 3}`).

    Shapes   any attribute value → dict, list or None. Text above two million characters is left alone.
    """
    if isinstance(value, dict | list):
        return value
    if not isinstance(value, str) or len(value) < 2 or len(value) > MAX_CHARS:
        return None
    head = value.lstrip()[:1]
    if head not in ("{", "[", '"'):
        return None
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        parsed = _literal(value)
    if isinstance(parsed, str) and parsed[:1] in ("{", "["):
        return parse(parsed)
    return parsed if isinstance(parsed, dict | list) else None


def text_of(value: Any) -> str | None:
    """A string that may carry its own JSON quotes, as Langfuse and MLflow write them; None for anything else."""
    if not isinstance(value, str) or value == "":
        return None
    if value[0] == value[-1] == '"' and len(value) > 1:
        try:
            inner = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        return inner if isinstance(inner, str) and inner else None
    return None if value in ("null", "None") else value


def repr_usage(value: Any) -> dict[str, Any] | None:
    """The usage object inside a Python repr (`… usage=CompletionUsage(prompt_tokens=3, …)`), as a dict."""
    if not isinstance(value, str):
        return None
    found = _REPR_USAGE.search(value)
    if found is None:
        return None
    end = _closing(value, found.end())
    if end is None:
        return None
    try:
        tree = ast.parse(value[found.start(1) : end], mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    parsed = _called(tree)
    return parsed if isinstance(parsed, dict) else None


def _closing(text: str, start: int) -> int | None:
    depth = 1
    for position in range(start, min(len(text), start + 4_000)):
        if text[position] == "(":
            depth += 1
        elif text[position] == ")":
            depth -= 1
            if depth == 0:
                return position + 1
    return None


def _called(node: ast.AST) -> Any:
    if isinstance(node, ast.Call):
        return {keyword.arg: _called(keyword.value) for keyword in node.keywords if keyword.arg}
    return node.value if isinstance(node, ast.Constant) else None


def _literal(text: str) -> Any:
    if "'" not in text or text[:1] not in ("{", "["):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
