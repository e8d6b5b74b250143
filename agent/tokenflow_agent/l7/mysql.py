"""Reads the first bytes of MySQL's packets (COM_QUERY, COM_STMT_PREPARE, COM_STMT_EXECUTE).

An exchange ends with the packet behind the last row, where that is the last one written at once, else before the
next command. Errors are seen in the first packet of the answer.
"""

from collections.abc import MutableMapping
from typing import Final

from tokenflow_agent.l7.postgres import Statements
from tokenflow_agent.l7.verbs import OTHER_VERB, verb

_QUERY: Final = 0x03
_PREPARE: Final = 0x16
_EXECUTE: Final = 0x17
_ERROR: Final = 0xFF
_COMMAND_AT: Final = 4
_NUMBER: Final = slice(5, 9)
"""Of a prepared statement: in the answer to its preparation, and in each execution."""
_NO_ATTRIBUTES: Final = b"\x00\x01"
"""Before the text, where a client of MySQL 8 may send attributes and does not."""


def statements(request: bytes, response: bytes, prepared: MutableMapping[bytes, str]) -> Statements:
    """Return the statements that were carried out; none where one was only prepared.

    Args:
        request: first bytes of the command.
        response: first bytes of the answer.
        prepared: verbs by number of what was prepared on this connection; what is prepared now is added.
    """
    command = request[_COMMAND_AT] if len(request) > _COMMAND_AT else 0
    failed = len(response) > _COMMAND_AT and response[_COMMAND_AT] == _ERROR
    text = request[_COMMAND_AT + 1 :].removeprefix(_NO_ATTRIBUTES)
    if command == _PREPARE and not failed:
        prepared[response[_NUMBER]] = verb(text)
    verbs = {_QUERY: [verb(text)], _EXECUTE: [prepared.get(request[_NUMBER], OTHER_VERB)]}
    return Statements(verbs.get(command, []), failed)
