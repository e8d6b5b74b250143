"""Fuzzes the parsers with atheris: ``python -m tests.agent.l7.fuzz_parsers [-max_total_time=60]``."""

import sys

import atheris

with atheris.instrument_imports():
    from tests.agent.l7.hostile import feed

if __name__ == "__main__":
    atheris.Setup(sys.argv, feed)
    atheris.Fuzz()
