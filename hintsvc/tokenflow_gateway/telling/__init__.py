"""What the gateway tells of itself: metrics, spans, records, and windows for the hint service."""
