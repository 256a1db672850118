"""What metrics tell of tokens, by stream and day: a check of calls, never a call."""

from datetime import date

from sqlalchemy import BigInteger, Date, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.tables.base import Base, Count


class MetricDayRow(Base):
    """Output tokens that one metric stream added on one UTC day. A conclusion, read anew when points arrive."""

    __tablename__ = "metric_days"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    stream_id: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """The stream's trace id: a hash of resource, scope, metric and attributes."""
    service: Mapped[str | None] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(Text)
    metric: Mapped[str] = mapped_column(Text)
    model: Mapped[str | None] = mapped_column(Text)
    output_tokens: Mapped[Count]
