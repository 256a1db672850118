"""Allocations: rules by which one billed request is shared among its agents, and the shares with the rule's name."""

from alembic import op

revision = "0030_allocations"
down_revision = "0008_large_traces"
branch_labels = None
depends_on = None

SCHEMA = """
ALTER TABLE calls ADD COLUMN agents JSONB;
CREATE TABLE allocation_rules (
    project_id BIGINT NOT NULL,
    rule_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    method TEXT NOT NULL,
    conditions JSONB NOT NULL,
    agents TEXT[],
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    recorded_by TEXT NOT NULL,
    retired_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_allocation_rules PRIMARY KEY (project_id, rule_id),
    CONSTRAINT ck_allocation_rules_method CHECK (method IN ('equal', 'by_output', 'first_payer')),
    CONSTRAINT ck_allocation_rules_has_a_condition CHECK (jsonb_array_length(conditions) > 0)
);
CREATE UNIQUE INDEX uq_allocation_rules_name ON allocation_rules (project_id, name) WHERE retired_at IS NULL;
CREATE TABLE allocations (
    project_id BIGINT NOT NULL,
    origin_id BYTEA NOT NULL,
    span_id BYTEA NOT NULL,
    rule_id BIGINT NOT NULL,
    agent TEXT NOT NULL,
    month DATE NOT NULL,
    end_at TIMESTAMP WITH TIME ZONE NOT NULL,
    position SMALLINT NOT NULL,
    rule TEXT NOT NULL,
    method TEXT NOT NULL,
    weight NUMERIC NOT NULL,
    list_cost NUMERIC(38, 15) NOT NULL,
    billed_cost NUMERIC(38, 15) NOT NULL,
    effective_cost NUMERIC(38, 15) NOT NULL,
    CONSTRAINT pk_allocations PRIMARY KEY (project_id, origin_id, span_id, rule_id, agent)
);
CREATE INDEX ix_allocations_project_id_end_at ON allocations (project_id, end_at);
"""


def upgrade() -> None:
    """Make the tables. Rules are facts and are retired, not deleted; shares are conclusions."""
    for statement in SCHEMA.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute("GRANT SELECT, INSERT, UPDATE ON allocation_rules TO jevons_app")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON allocations TO jevons_app")


def downgrade() -> None:
    """Drop them; what agents were charged of shared calls goes back to the calls' own agents."""
    op.execute("UPDATE charges SET superseded_at = now() WHERE charge_class = 'allocation' AND superseded_at IS NULL "
               "AND NOT EXISTS (SELECT FROM periods p WHERE p.project_id = charges.project_id "
               "AND p.month = charges.month AND p.state = 'closed')")  # fmt: skip
    op.execute("DROP TABLE allocations")
    op.execute("DROP TABLE allocation_rules")
    op.execute("ALTER TABLE calls DROP COLUMN agents")
