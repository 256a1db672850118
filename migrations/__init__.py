"""Alembic migrations; they run as the role jevons_owner."""
