"""The exceptions of the cluster tool."""


class ClusterError(Exception):
    """The cluster could not do what was asked; the message says what to do."""


class PrerequisiteError(ClusterError):
    """This machine lacks something that the cluster needs."""
