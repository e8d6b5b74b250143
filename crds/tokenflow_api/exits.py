"""How programs end, where the operator reads a cause in it."""

from typing import Final

NO_CERTIFICATE: Final = 78
"""There is no certificate to serve with; the number is ``EX_CONFIG`` of sysexits.h."""
