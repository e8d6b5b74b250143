"""What can go wrong with models and with what they learn from."""

from tokenflow_hintsvc.errors import HintServiceError


class LearnError(HintServiceError):
    """A model, or data for one, is not usable."""


class DataError(LearnError):
    """What a model should learn from is not such data."""


class ModelFormatError(LearnError):
    """A model's files are damaged, oversized or of another release."""


class RegistryError(LearnError):
    """The registry has no such version, or no room."""
