"""How far a policy and its learned model act."""

from enum import StrEnum


class Mode(StrEnum):
    """What the policy does to streams."""

    ENFORCE = "Enforce"
    SHADOW = "Shadow"
    OFF = "Off"


class ModelMode(StrEnum):
    """How far the learned model may act."""

    OFF = "Off"
    SHADOW = "Shadow"
    CANARY = "Canary"
    ACTIVE = "Active"
