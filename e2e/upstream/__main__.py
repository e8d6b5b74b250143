"""``python -m e2e.upstream``: serve the made-up model."""

import argparse
import sys

from aiohttp import web

from e2e.upstream import application


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m e2e.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--tokens-per-second", type=float, default=60.0)
    arguments = parser.parse_args()
    app = application(tokens_per_second=arguments.tokens_per_second)
    web.run_app(app, port=arguments.port, access_log=None, handle_signals=True, handler_cancellation=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
