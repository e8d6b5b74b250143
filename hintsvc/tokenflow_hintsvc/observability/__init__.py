"""What a replica tells of itself: traces, logs that name their trace, and both over OTLP where that is asked for."""
