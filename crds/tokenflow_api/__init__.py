"""The contracts of TokenFlow: both custom resources, the wire documents, the runtime config."""
