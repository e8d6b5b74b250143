"""End-to-end: a real cluster, real links, a demo and benchmarks."""
