"""What pacing does for readers, measured: see docs/benchmarks.md."""
