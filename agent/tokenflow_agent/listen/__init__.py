"""How full the accept queues of pods' listening sockets are, and what was turned away."""
