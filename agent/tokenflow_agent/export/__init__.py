"""What the agent shows of itself: metrics, health and the state of each signal."""
