"""Whose stream goes from where to where."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A tenant, an upstream and a class of readers.

    Attributes:
        tenant: its name.
        upstream: its name.
        destination_class: prefix of the readers' addresses.
    """

    tenant: str
    upstream: str
    destination_class: str

    @property
    def path(self) -> str:
        """Name of the path within its tenant."""
        return f"{self.upstream}/{self.destination_class}"
