"""Large traces: when each was derived last, so that one that grows all the time is not derived all the time."""

from alembic import op

revision = "0008_large_traces"
down_revision = "0007_closed_by_statement"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        "CREATE TABLE large_traces ("
        "project_id INTEGER NOT NULL, trace_id BYTEA NOT NULL, spans INTEGER NOT NULL, "
        "derived_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL, "
        "CONSTRAINT pk_large_traces PRIMARY KEY (project_id, trace_id))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON large_traces TO jevons_app")


def downgrade() -> None:
    """Drop it: large traces are derived with every commit again."""
    op.execute("DROP TABLE large_traces")
