"""``kubectl tokenflow top``: the resources, their tenants and their nodes, live."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

from tokenflow_operator.cli.kubectl import Kubectl
from tokenflow_operator.cli.overview import details, summary
from tokenflow_operator.cli.resources import read
from tokenflow_operator.errors import UnavailableError

_CLEAR: Final = "\x1b[H\x1b[2J"


def page(kubectl: Kubectl, *, everywhere: bool, now: datetime) -> str:
    """Return one page of what there is.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: the resources could not be read.
    """
    resources = read(kubectl, everywhere=everywhere)
    worst_first = sorted(resources, key=lambda seen: not seen.complaints)
    return "\n".join((summary(worst_first, now=now), details(worst_first))) if resources else "Nothing here.\n"


def live(
    kubectl: Kubectl,
    screen: TextIO,
    *,
    everywhere: bool,
    interval_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show the page anew until interrupted. While the API server is away it says so, and tries again.

    Raises:
        ConfigError: there is no kubectl.
        KubeError: the resources may not be read.
    """
    while True:
        now = datetime.now(UTC)
        try:
            shown = page(kubectl, everywhere=everywhere, now=now)
        except UnavailableError as error:
            shown = f"{error}: trying again\n"
        screen.write(f"{_CLEAR}{now:%H:%M:%S} UTC, every {interval_s:g} s; end with Ctrl-C\n\n{shown}")
        screen.flush()
        sleep(interval_s)
