"""Projects, and who may send to them or look at them: API keys and users."""

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Moment

KEY_SCOPES = ("ingest", "read", "admin")
USER_ROLES = ("viewer", "editor", "admin")


class ProjectRow(Base):
    """A separate set of telemetry and figures. Row 1 is `default`; its id comes first in every key."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(Identity(start=2), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    is_demo: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())


class ApiKeyRow(Base):
    """A key of one project. The secret is shown once; its SHA-256 is kept (it has 256 random bits, no salt needed)."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("scope IN ('ingest', 'read', 'admin')", name="scope"),
        Index(None, "project_id"),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    scope: Mapped[str]
    hint: Mapped[str]
    """The first characters of the secret, to tell keys apart."""
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]


class UserRow(Base):
    """A person who logs in. The password is kept as scrypt with its own salt."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'editor', 'admin')", name="role"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    disabled_at: Mapped[Moment | None]
