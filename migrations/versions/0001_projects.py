"""Projects, API keys, users and the audit trail."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001_projects"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def moment(name: str, **options: object) -> sa.Column:
    """A column for a point in time."""
    return sa.Column(name, sa.DateTime(timezone=True), **options)  # type: ignore[arg-type]


def upgrade() -> None:
    """Make the four tables, the default project, and the triggers that keep the trail append-only."""
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer, sa.Identity(start=2), primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("is_demo", sa.Boolean, server_default="false", nullable=False),
        moment("created_at", server_default=NOW, nullable=False),
    )
    op.execute("INSERT INTO projects (id, name) VALUES (1, 'default')")
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("project_id", sa.Integer, sa.ForeignKey("projects.id"), nullable=False, index=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scope", sa.String, nullable=False),
        sa.Column("hint", sa.String, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        moment("created_at", server_default=NOW, nullable=False),
        moment("expires_at"),
        moment("revoked_at"),
        sa.CheckConstraint("scope IN ('ingest', 'read', 'admin')", name="scope"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("password", sa.String, nullable=False),
        sa.Column("role", sa.String, nullable=False),
        moment("created_at", server_default=NOW, nullable=False),
        moment("disabled_at"),
        sa.CheckConstraint("role IN ('viewer', 'editor', 'admin')", name="role"),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("project_id", sa.Integer),
        moment("at", nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("before", JSONB),
        sa.Column("after", JSONB),
        sa.Column("reason", sa.String),
        sa.Column("previous", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Index("ix_audit_events_action_at", "action", "at"),
    )
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for event in ("UPDATE OR DELETE", "TRUNCATE"):
        name = event.split()[0].lower()
        op.execute(
            f"CREATE TRIGGER refuse_{name} BEFORE {event} ON audit_events "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    op.execute("GRANT SELECT, INSERT, UPDATE ON projects, api_keys, users TO jevons_app")
    op.execute("GRANT SELECT, INSERT ON audit_events TO jevons_app")
    op.execute("GRANT SELECT ON alembic_version TO jevons_app")


def downgrade() -> None:
    """Drop them: projects, keys, users and the trail are lost."""
    for table in ("audit_events", "users", "api_keys", "projects"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change()")
    op.execute("REVOKE ALL ON alembic_version FROM jevons_app")
