"""The exceptions of the contracts."""


class ContractError(Exception):
    """A document does not keep to the contract."""


class CodecError(ContractError):
    """A telemetry document could not be decoded."""


class SchemaGenerationError(ContractError):
    """A model says something that a CustomResourceDefinition cannot."""


class KeyFormatError(ContractError):
    """A line is no API key."""
