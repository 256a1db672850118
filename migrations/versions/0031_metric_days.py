"""Metric days: output tokens that each metric stream added per UTC day, to hold calls against."""

from alembic import op

revision = "0031_metric_days"
down_revision = "0030_allocations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute("""
        CREATE TABLE metric_days (
            project_id BIGINT NOT NULL,
            stream_id BYTEA NOT NULL,
            day DATE NOT NULL,
            service TEXT,
            scope TEXT NOT NULL,
            metric TEXT NOT NULL,
            model TEXT,
            output_tokens BIGINT NOT NULL,
            CONSTRAINT pk_metric_days PRIMARY KEY (project_id, day, stream_id)
        )
    """)
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON metric_days TO jevons_app")


def downgrade() -> None:
    """Drop it; the spans that it was read from stay."""
    op.execute("DROP TABLE metric_days")
