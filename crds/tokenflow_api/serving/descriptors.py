"""How many connections a server can have open."""

import resource


def allow_many_connections() -> None:
    """Take as many descriptors as this process may have: containers often begin with a thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
