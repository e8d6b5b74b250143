"""``tokenflow``: hints, load and a chat, from a terminal."""

import sys

from tokenflow_client._command.main import main

if __name__ == "__main__":
    sys.exit(main())
