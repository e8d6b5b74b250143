"""Calls that may never come back, each on a thread of its own.

Not an executor's threads: the interpreter waits for those when it ends, and a driver that hangs would keep the agent
from leaving.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Background(Future[T]):
    """A call that has begun, and its outcome to come.

    Args:
        call: what to run; whatever it raises is in the outcome.
        name: of the thread.
    """

    def __init__(self, call: Callable[[], T], *, name: str) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()
        threading.Thread(target=self._run, args=(call,), name=name, daemon=True).start()

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is handed on
            self.set_exception(error)
