"""A budget knows how often its terms changed: what was told about other terms must not silence the new ones."""

from alembic import op

revision = "0090_budget_revisions"
down_revision = "0080_statistics"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the count; every budget begins with its first terms."""
    op.execute("ALTER TABLE budgets ADD COLUMN revision integer NOT NULL DEFAULT 1")


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE budgets DROP COLUMN revision")
