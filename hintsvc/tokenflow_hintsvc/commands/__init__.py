"""The commands of ``tokenflow-hintsvc``: each module has a ``main`` that takes the arguments and returns the status."""
