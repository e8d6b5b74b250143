"""What programs cost, as they time it themselves (see ``cost.h``)."""


def spent_ns(runs: int, *, timed: int, timed_ns: int) -> int:
    """Return how long programs ran, in nanoseconds.

    Args:
        runs: how often they ran in the window.
        timed: how many runs were timed since they were loaded; a quiet window has too few to judge by.
        timed_ns: how long those took.
    """
    return runs * timed_ns // max(1, timed)
