"""What the replicas share in Redis.

All keys of a policy carry its uid in braces, so that they stay in one slot of a Cluster, and every key has
an expiry or a cap. Scripts take the time from Redis, so that replicas need not agree on it.
"""
