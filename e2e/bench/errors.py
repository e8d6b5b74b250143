"""What can go wrong while measuring."""


class BenchError(Exception):
    """Something that is measured, or measures, did not do its part; the message says what to look at."""
