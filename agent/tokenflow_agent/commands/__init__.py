"""The commands of ``tokenflow-agent``: each module has a ``main`` that takes the arguments and returns the status."""
