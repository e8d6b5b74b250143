"""Fixtures of this folder."""

from tests.hintsvc.conftest import redis_server

__all__ = ["redis_server"]
