"""The time of day, for what is told to people. Durations go by monotonic clocks."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.now(UTC)
