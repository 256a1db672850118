"""A deployment of the sample: capacity assumed for the hour in which its calls to a vLLM server were captured."""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Connection

from models.store.capacity import DeploymentRate, add_deployment, list_deployments, set_capacity, set_rate

NAME = "gpt-oss-120b on 2 × H100 (sample)"
HOUR = datetime(2026, 11, 20, 11, tzinfo=UTC)
"""The hour of the capture."""
FIELDS = {
    "name": NAME,
    "architecture": "gpt-oss-120b",
    "accelerator": "h100_sxm",
    "engine": "vllm",
    "precision": "fp8",
    "kv_precision": "bf16",
    "chips": 2,
    "attention_groups": 1,
    "concurrency": 16,
    "role": "aggregated",
    "match_service": "corpus-openinference-llamaindex",
    "match_model": "gpt-oss-120b",
    "match_server_address": None,
}
RATE = DeploymentRate(
    valid_from=datetime(2026, 11, 1, tzinfo=UTC),
    usd_per_chip_hour=Decimal("1.99"),
    source="sample: assumed, the lower end of on-demand prices in the hardware catalogue",
)


def declare(connection: Connection, project_id: int) -> None:
    """Declare the deployment, its price and its chip-hours; doing it twice does it once."""
    if any(each.fields["name"] == NAME for each in list_deployments(connection, [project_id])):
        return
    deployment = add_deployment(connection, project_id, FIELDS)
    set_rate(connection, project_id, deployment, RATE)
    set_capacity(connection, project_id, deployment, [(HOUR, Decimal(2), None)])
