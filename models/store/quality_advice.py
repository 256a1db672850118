"""What a finding of data quality means and what to change, in words; by kind, then by instrumentation."""

from models.core.quality import FindingKind

ADVICE: dict[FindingKind, tuple[str, str]] = {
    FindingKind.ABSENT: (
        "no token counts, so these calls cost nothing in any total",
        "Turn on usage in streams, or instrument the client library too.",
    ),
    FindingKind.PARTIAL: (
        "only part of the usage is counted: the client left the stream, or another model (an advisor) answered inside",
        "Read streams to their end where the answer is needed; an aborted one is billed for what was generated.",
    ),
    FindingKind.ESTIMATED: (
        "this instrumentation is known to get these counts wrong",
        "Keep the provider SDK's own spans, or use a release that copies the final usage.",
    ),
    FindingKind.INVENTED: (
        "counts that the package made up from text; they stand beside the call and are in no total",
        "Ask for usage in streams, or instrument the client library with a package that reads it.",
    ),
    FindingKind.METRICS: (
        "metrics tell more output tokens than the calls",
        "Export the spans or logs of the same requests: metrics make no calls.",
    ),
    FindingKind.AMBIGUOUS: (
        "nothing says whether the input contains cached tokens; it is read as if it did",
        "Use an instrumentation of docs/instrumentation.md, or send the provider's object as gen_ai.usage.raw.",
    ),
    FindingKind.DISAGREEMENT: (
        "described twice with different counts, or in parts that miss their total; the most trusted counts are used",
        "Instrument one layer, or update the older of the two packages.",
    ),
    FindingKind.MATCHED: (
        "tied to a second description by equal counts, model and time, as no id is shared",
        "Nothing is counted twice. A response id on the spans would make the tie certain.",
    ),
    FindingKind.DUPLICATE: (
        "spans of a call that another span describes too; each call counts once",
        "",
    ),
    FindingKind.ROLLUP: ("spans that repeat what the calls below them used; they count nothing", ""),
    FindingKind.REJECTED: (
        "records that could not be read",
        "Correct the sender: the position names the record, the reason the field. The rest of each body was taken.",
    ),
    FindingKind.LATE: (
        "spans that came more than an hour after they had ended; figures of their time changed afterwards",
        "Nothing for imports and recordings. Otherwise shorten the exporter's schedule, or check the sender's clock.",
    ),
    FindingKind.NO_AGENT: (
        "calls that name no agent",
        "Set gen_ai.agent.name on an invoke_agent span around an agent's calls.",
    ),
    FindingKind.NO_TEAM: (
        "calls that name no team",
        "Set team.id in OTEL_RESOURCE_ATTRIBUTES of the process, or write an ownership rule.",
    ),
}
"""Kind → what was found and what to change in general."""

_BY_SCOPE: dict[tuple[FindingKind, str], str] = {
    (FindingKind.ABSENT, "openinference.instrumentation.openai"): (
        'Ask for usage in streams: stream_options={"include_usage": true}.'
    ),
    (FindingKind.ABSENT, "opentelemetry.instrumentation.openai"): (
        'Ask for usage in streams: stream_options={"include_usage": true}.'
    ),
    (FindingKind.ABSENT, "@arizeai/openinference-instrumentation-openai"): (
        "This package drops the usage of streams even when it is sent: use the OpenTelemetry or Vercel spans instead."
    ),
    (FindingKind.ABSENT, "openlit"): (
        "OpenLIT invents counts where a stream has no usage; they are not taken. Update to 1.45 and ask for usage."
    ),
    (FindingKind.ABSENT, "autogen"): "AutoGen's own spans carry no counts: add an OpenAI instrumentation.",
    (FindingKind.ABSENT, "openinference.instrumentation.dspy"): (
        "DSPy's spans carry no counts: add openinference-instrumentation-litellm or -openai."
    ),
    (FindingKind.ESTIMATED, "opentelemetry.instrumentation.anthropic"): (
        "Its streams count message_start's output again: leave the Anthropic SDK's own spans on."
    ),
    (FindingKind.NO_AGENT, "opentelemetry.instrumentation.openai_agents"): (
        "Chat spans name a constant: keep the invoke_agent spans above them in the same exporter."
    ),
}
"""Kind and beginning of a scope's name → advice that fits it better."""


def advice_for(kind: FindingKind, instrumentation: str) -> tuple[str, str]:
    """What was found and what to change, for one instrumentation (`scope@version`)."""
    said, general = ADVICE[kind]
    fitting = [
        (scope, words) for (of, scope), words in _BY_SCOPE.items() if of is kind and instrumentation.startswith(scope)
    ]
    advice = max(fitting, key=lambda pair: len(pair[0]))[1] if fitting else general
    return said, advice
