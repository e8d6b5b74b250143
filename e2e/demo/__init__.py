"""``make demo``: a cluster, a policy, a link that goes bad half-way, and what came of it."""
