"""One stream: out of the upstream's events, into batches, at the pace that acts."""
