"""Durations and quantities as Kubernetes writes them, and their values in base units."""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BeforeValidator, StringConstraints

from tokenflow_api._rules import INT_OR_STRING

DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
QUANTITY_PATTERN: Final = r"^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"

Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=32)]
"""A Go duration of hours, minutes, seconds and milliseconds, such as ``1m30s`` or ``500ms``."""


def _words(value: object) -> object:
    """Return a bare number as the quantity that Kubernetes takes it for."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    StringConstraints(pattern=QUANTITY_PATTERN, max_length=24),
    BeforeValidator(_words),
    INT_OR_STRING,
]
"""A Kubernetes quantity, such as ``64Mi``, ``250m`` or the number 2."""

_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_QUANTITY: Final = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,9})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
"""More than may be asked for: the API server writes 0.5m as 500u, and 1000T as 1P."""
_MULTIPLIER: Final = {
    "": Decimal(1),
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


@lru_cache(maxsize=256)
def seconds(duration: str) -> float:
    """Return a Go duration in seconds.

    Raises:
        ValueError: it is not a duration of the form ``1m30s``.
    """
    if not re.fullmatch(DURATION_PATTERN, duration):
        raise ValueError(f"{duration!r} is not a duration: write hours, minutes, seconds or ms, such as 1m30s")
    return sum(int(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(duration))


def amount(quantity: str) -> Decimal:
    """Return a Kubernetes quantity in base units (bytes for sizes, cores for CPU).

    Raises:
        ValueError: it is not a quantity of the form ``64Mi``.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity: write a number with an optional suffix, such as 64Mi")
    suffix = match.group(1) or ""
    return Decimal(quantity.removesuffix(suffix)) * _MULTIPLIER[suffix]
