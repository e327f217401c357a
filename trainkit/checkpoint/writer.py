"""One piece of work at a time in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger("trainkit")


class Writer:
    """Runs a job in the background, and keeps what it raised until someone asks.

    The thread is no daemon: however the process ends, short of being killed, the interpreter waits for it.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, job: Callable[[], object]) -> None:
        """Run ``job``; the one before must have been settled."""
        self._thread = threading.Thread(target=self._run, args=(job,), name="checkpoint")
        self._thread.start()

    def settle(self, *, wait: bool) -> None:
        """Raise what the last job raised, if it is done; with ``wait``, once it is."""
        if self._thread is None or (not wait and self._thread.is_alive()):
            return
        self._thread.join()
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as error:  # settle raises it in the main thread
            self._error = error
            if not threading.main_thread().is_alive():  # nobody is left to ask
                logger.exception("the last checkpoint was not saved")
