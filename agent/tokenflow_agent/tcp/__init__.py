"""TCP health: round-trip times, retransmits and queues of every pod's connections."""
