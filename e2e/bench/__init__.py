"""Measurements that are written down: see docs/benchmarks."""
