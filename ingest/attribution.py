"""Who a request belongs to: agent and path, task, session, user, team, cost centre, environment, service, tags."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ingest.dialects.registry import dialect_of
from ingest.dialects.shape import Shape, shape_of
from ingest.json_text import parse, text_of
from ingest.tree import SpanTree
from models.core.telemetry import Span
from models.core.vocabulary import Signal

_METADATA = (
    "traceloop.association.properties.",
    "langsmith.metadata.",
    "ai.telemetry.metadata.",
    "mastra.metadata.",
    "langfuse.trace.metadata.",
    "langfuse.observation.metadata.",
    "baggage.",
)
"""Prefixes under which applications pass words of their own."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "session": (
        "session.id",
        "langfuse.session.id",
        "group_id",
        "gen_ai.conversation.id",
        "conversation.id",
        "session_id",
        "sessionId",
        "thread_id",
        "threadId",
        "conversation_id",
    ),
    "user": ("user.id", "enduser.id", "langfuse.user.id", "llm.user", "user_id", "userId", "installation.id"),
    "task": ("task.id", "task.type", "task", "app.task", "task_id", "taskId", "task_type", "prompt.id", "prompt_id"),
    "team": ("team.id", "team", "team.name", "metadata.team_alias", "metadata.user_api_key_team_alias", "team_name"),
    "cost_center": ("cost_center", "cost.center", "cost-center", "costCenter", "cost_centre"),
    "environment": (
        "deployment.environment.name",
        "deployment.environment",
        "environment",
        "gen_ai.environment",
        "env",
    ),
    "service": ("service.name",),
}
_OWN_WORDS: Mapping[str, tuple[str, ...]] = {
    "session": ("session_id", "sessionId", "session.id", "thread_id", "threadId", "conversation_id"),
    "user": ("user_id", "userId", "user.id", "user"),
    "task": ("task_id", "taskId", "task", "task_type", "taskType", "task.id", "task.type"),
    "team": ("team", "team_id", "teamId", "team.id"),
    "cost_center": ("cost_center", "costCenter", "cost_centre"),
    "environment": ("environment", "env"),
}
"""Words inside an application's metadata, in the order in which they are believed."""

_RESOURCE_FIRST = ("team", "cost_center", "environment", "service")
_AGENT_NAMES = ("gen_ai.agent.name", "agent.name", "agent_name", "crewai.agent.role", "crewai.task.agent")
_WORKFLOWS = ("ai.telemetry.functionId", "gen_ai.workflow.name")
_NAMELESS = frozenset(
    {"openai agent", "agent", "agent workflow", "default", "unknown", "model", "tools", "llm", "assistant", "none"}
)
"""Constants that stand where a name belongs."""
_PLUMBING = ("ls_", "lc_", "langgraph_", "checkpoint_ns", "color", "tool_call_id", "is_langchain_root", "tags")
_STANDARD_RESOURCE = (
    "service.",
    "telemetry.",
    "host.",
    "process.",
    "os.",
    "container.",
    "k8s.",
    "cloud.",
    "deployment.",
    "faas.",
    "device.",
    "webengine.",
    "user_agent.",
    "openinference.",
)
_TAG_KEYS = ("tag.tags", "langfuse.trace.tags", "langsmith.span.tags", "metadata.user_api_key_alias")
_RANKS = {key: (name, rank) for name, keys in _KEYS.items() for rank, key in enumerate(keys)}
_KNOWN_WORDS = frozenset(key for keys in _OWN_WORDS.values() for key in keys)
_JSON_KEYS = ("metadata", "langfuse.trace.metadata", "langfuse.observation.metadata", "ai.telemetry.metadata")
_UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.IGNORECASE)
_MAX_TAG = 256
_ANSWER = "resp_"
"""Agent Framework writes the id of the last answer, to which a question is chained, as the conversation's."""


@dataclass(slots=True, kw_only=True)
class Owner:
    """Who one request belongs to, and which of it was inferred."""

    agent: str | None = None
    agent_path: str | None = None
    task: str | None = None
    session: str | None = None
    user: str | None = None
    team: str | None = None
    cost_center: str | None = None
    environment: str | None = None
    service: str | None = None
    tags: dict[str, str] = field(default_factory=dict[str, str])
    inferred: set[str] = field(default_factory=set[str])


@dataclass(slots=True, frozen=True)
class _Local:
    """What one record says by itself."""

    facts: Mapping[str, str]
    agent: str | None
    agent_is_inferred: bool
    tags: Mapping[str, str]


_NOTHING = _Local({}, None, False, {})


@dataclass(slots=True)
class _Chain:
    """What a record and its ancestors say, the nearest first."""

    facts: dict[str, str] = field(default_factory=dict[str, str])
    tags: dict[str, str] = field(default_factory=dict[str, str])
    path: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    """Agents from the record up, each with whether it was inferred."""
    workflow: str | None = None
    root: Span | None = None


_ROOTLESS = _Chain()


@dataclass(slots=True, frozen=True)
class _Resource:
    """What a resource says."""

    facts: Mapping[str, str]
    firm: Mapping[str, str]
    """Those of the facts that no span may contradict."""
    tags: Mapping[str, str]


class Resources:
    """What the resources of some records say; each is read once, however many traces come from it."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Mapping[str, Any], _Resource]] = {}

    def of(self, span: Span) -> _Resource:
        """What the resource of a record says."""
        found = self._read.get(id(span.resource))
        if found is None:
            facts = _stated(span.resource, shape_of(span.resource))
            firm = {name: facts[name] for name in _RESOURCE_FIRST if name in facts}
            tags = {
                name: text
                for name, value in span.resource.items()
                if not name.startswith(_STANDARD_RESOURCE) and name not in _RANKS and (text := _tag(value)) is not None
            }
            # Kept with what it was read from, so that nothing else can take its place in memory.
            found = self._read[id(span.resource)] = (span.resource, _Resource(facts, firm, tags))
        return found[1]


class Attributor:
    """Answers for many records of the same traces; what an ancestor says is read once, and what all above say too."""

    def __init__(self, tree: SpanTree, resources: Resources) -> None:
        self.tree = tree
        self._local: dict[tuple[bytes, bytes], _Local] = {}
        self._chains: dict[tuple[bytes, bytes], _Chain] = {}
        self._resources = resources

    def owner_of(self, spans: Sequence[Span]) -> Owner:
        """The owner of a request out of all records that describe it, the naming description first.

        Shapes   n ≥ 1 records → 1 owner. Every fact comes from the record itself, then from its nearest ancestor;
                 team, cost centre, environment and service from the resource first.
        """
        found: dict[str, str] = {}
        tags: dict[str, str] = {}
        agent = agent_path = None
        inferred: set[str] = set()
        for span in spans:
            local, above, resource = self._read(span), self._above(span), self._resources.of(span)
            # The first record is believed before the others, so each one fills what is still missing.
            found = {**resource.facts, **above.facts, **local.facts, **resource.firm, **found}
            tags = {**resource.tags, **above.tags, **local.tags, **tags}
            if agent is None:
                path = _with_own(local, above.path)
                stated = [name for name, is_inferred in path if not is_inferred] or [name for name, _ in path]
                if stated:
                    agent = stated[0]
                    # An imported transcript has no spans above a request: it states the path itself.
                    told = span.attributes.get("jevons.agent_path")
                    agent_path = told if isinstance(told, str) else "/".join(reversed(stated))
                    if all(is_inferred for _, is_inferred in path):
                        inferred.update(("agent", "agent_path"))
        if "task" not in found:
            root = self._root_name(spans)
            if root is not None:
                found["task"] = root
                inferred.add("task")
        return Owner(agent=agent, agent_path=agent_path, tags=tags, inferred=inferred, **found)

    def _above(self, span: Span) -> _Chain:
        """What the ancestors of a record say; siblings share the answer."""
        parent = self.tree.parent(span)
        if parent is None:
            return _ROOTLESS
        key = (parent.trace_id, parent.span_id)
        found = self._chains.get(key)
        if found is None:
            found = self._chains[key] = _Chain()
            for link in self.tree.chain(parent):
                local = self._read(link)
                for name, value in local.facts.items():
                    found.facts.setdefault(name, value)
                for name, value in local.tags.items():
                    found.tags.setdefault(name, value)
                if local.agent is not None and (not found.path or found.path[-1][0] != local.agent):
                    found.path.append((local.agent, local.agent_is_inferred))
                found.workflow = link.attributes.get("traceloop.workflow.name") or found.workflow
                found.root = link
        return found

    def _read(self, span: Span) -> _Local:
        key = (span.trace_id, span.span_id)
        found = self._local.get(key)
        if found is None:
            found = self._local[key] = _local(span)
        return found

    def _root_name(self, spans: Sequence[Span]) -> str | None:
        for span in spans:
            if span.signal is not Signal.TRACES:
                continue
            above = self._above(span)
            workflow = above.workflow or span.attributes.get("traceloop.workflow.name")
            if isinstance(workflow, str) and workflow:
                return workflow
            if above.root is not None and above.root.span_id != span.span_id:
                return above.root.name
        return None


def _with_own(local: _Local, above: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    if local.agent is None:
        return above
    own = (local.agent, local.agent_is_inferred)
    return [own, *above[1:]] if above and above[0][0] == local.agent else [own, *above]


def _local(span: Span) -> _Local:
    attributes = span.attributes
    if not attributes:
        return _NOTHING
    shape = shape_of(attributes)
    stated = _stated(attributes, shape)
    own = _own_words(attributes, shape)
    facts: dict[str, str] = stated
    if own:
        facts = {}
        for name in _KEYS:
            value = stated.get(name)
            if value is None or (name == "session" and "session.id" not in attributes):
                # An application's session id says more than a framework's thread id.
                value = next((text for key in _OWN_WORDS.get(name, ()) if (text := _tag(own.get(key)))), None) or value
            if value is not None:
                facts[name] = value
    agent, is_inferred = _agent(span, own, shape)
    tags = {
        key: text
        for key, value in own.items()
        if key not in _KNOWN_WORDS and not key.startswith(_PLUMBING) and (text := _tag(value)) is not None
    }
    for key in shape.present(_TAG_KEYS):
        text = _tag(attributes[key])
        if text is not None:
            tags[key.rsplit(".", 1)[-1]] = text
    return _Local(facts, agent, is_inferred, tags)


def _stated(attributes: Mapping[str, Any], shape: Shape) -> dict[str, str]:
    """Facts under their standard keys; the key believed first wins."""
    found: dict[str, str] = {}
    for key, name in shape.of(_standard_words):
        if name not in found:
            text = _text(attributes[key])
            if text is not None and not (name == "session" and text.startswith(_ANSWER)):
                found[name] = text
    return found


def _standard_words(names: Collection[str]) -> tuple[tuple[str, str], ...]:
    """(attribute, fact) of the standard keys among some names, the key believed first before the others of its fact."""
    here = sorted((rank, name, key) for key in names if key in _RANKS for name, rank in (_RANKS[key],))
    return tuple((key, name) for _, name, key in here)


def _own_words(attributes: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """An application's metadata, whichever prefix or JSON text it came in."""
    found: dict[str, Any] = {}
    for key, word in shape.of(_prefixed_words):
        found.setdefault(word, attributes[key])
    for key in shape.present(_JSON_KEYS):
        parsed = parse(attributes[key])
        if isinstance(parsed, dict):
            for word, value in parsed.items():
                found.setdefault(str(word), value)
    return found


def _prefixed_words(names: Collection[str]) -> tuple[tuple[str, str], ...]:
    """(attribute, word) of names under a prefix for metadata, in the order of the names."""
    return tuple(
        (name, name[len(next(prefix for prefix in _METADATA if name.startswith(prefix))) :])
        for name in names
        if name.startswith(_METADATA)
    )


def _agent(span: Span, own: Mapping[str, Any], shape: Shape) -> tuple[str | None, bool]:
    """The agent a record names, and whether that had to be inferred from a weaker word."""
    attributes = span.attributes
    nameless = _nameless(span)
    for key in shape.present(_AGENT_NAMES):
        name = _name(attributes[key], nameless)
        if name is not None:
            return name, False
    kind = attributes.get("openinference.span.kind")
    node = _name(attributes.get("graph.node.id"), nameless)
    if kind == "AGENT" or attributes.get("traceloop.span.kind") == "agent":
        name = node or _name(attributes.get("traceloop.entity.name"), nameless)
        return (name, False) if name is not None else (_name(_first_word(span.name), nameless), True)
    if node is not None and kind in ("CHAIN", None):
        return node, False
    if text_of(attributes.get("langfuse.observation.type")) == "agent":
        return _name(span.name, nameless), False
    if "logfire.msg_template" in attributes and span.name.startswith("Agent run"):
        return _name(attributes.get("name"), nameless), False
    for key in ("lc_agent_name", "langgraph_node") if own else ():
        name = _name(own.get(key), nameless)
        if name is not None:
            return name, key != "lc_agent_name"
    for key in shape.present(_WORKFLOWS):
        name = _name(attributes[key], nameless)
        if name is not None:
            return name, True
    return None, False


def _nameless(span: Span) -> frozenset[str]:
    return _nameless_of(dialect_of(span).nameless_agents)


@lru_cache(maxsize=64)
def _nameless_of(constants: tuple[str, ...]) -> frozenset[str]:
    return _NAMELESS.union(name.lower() for name in constants)


def _first_word(name: str) -> str:
    """`researcher.run` → `researcher`."""
    return name.split(".")[0]


def _name(value: Any, nameless: frozenset[str]) -> str | None:
    text = _text(value)
    if text is None or text.lower() in nameless or _UUID.match(text):
        return None
    return text


def _text(value: Any) -> str | None:
    text = text_of(value)
    return text[:_MAX_TAG] if text is not None else None


def _tag(value: Any) -> str | None:
    """A tag's text: numbers and lists of words too, nested objects not."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) and value[:1] == "[":
        value = parse(value)
    if isinstance(value, list):
        words = sorted(str(word) for word in value if isinstance(word, str | int))
        return ",".join(words)[:_MAX_TAG] or None
    return _text(value)
