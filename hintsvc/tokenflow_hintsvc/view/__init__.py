"""What this replica serves from memory: the leader's newest snapshot, its hints as answers, and the open streams."""
