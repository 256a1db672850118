"""A small agent as a user would write it: the public clients, their public instrumentation, default exporter settings.

Run as `python agent.py PROVIDER_URL`; the exporter's endpoint comes from OTEL_EXPORTER_OTLP_ENDPOINT as always.
"""

import sys

import anthropic
import openai
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

PROVIDER = sys.argv[1]

tracing = TracerProvider()
tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(tracing)
OpenAIInstrumentor().instrument(tracer_provider=tracing)
tracer = trace.get_tracer("weather-desk")

with tracer.start_as_current_span(
    "invoke_agent weather",
    attributes={
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "weather",
        "gen_ai.conversation.id": "conversation-1",
        "task.id": "T-1",
    },
):
    openai.OpenAI(base_url=f"{PROVIDER}/v1", api_key="none").chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": "a secret question about Oslo"}]
    )
    anthropic.Anthropic(base_url=PROVIDER, api_key="none").messages.create(
        model="claude-sonnet-4-5", max_tokens=10, messages=[{"role": "user", "content": "a secret question about Oslo"}]
    )
tracing.shutdown()
