"""Dirty marks are named by their version alone: they come in its order, and the first that came is worked off first."""

from alembic import op

revision = "0060_marks_in_order"
down_revision = "0040_unit_sums"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A key that grows at its end costs less than one that begins with a random trace id."""
    op.execute(
        "ALTER TABLE dirty_traces DROP CONSTRAINT pk_dirty_traces, ADD CONSTRAINT pk_dirty_traces PRIMARY KEY (version)"
    )


def downgrade() -> None:
    """Name them by project and trace again."""
    op.execute(
        "ALTER TABLE dirty_traces DROP CONSTRAINT pk_dirty_traces, "
        "ADD CONSTRAINT pk_dirty_traces PRIMARY KEY (project_id, trace_id, version)"
    )
