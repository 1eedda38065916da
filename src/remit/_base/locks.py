"""The lock for state shared by threads of the program and of remit."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info < (3, 14):
    SignalSafeLock = threading.RLock
else:

    class SignalSafeLock(type(threading.RLock())):
        """A reentrant lock that is released even if a signal handler raises while it is taken.

        From 3.14 on, a signal handler may run between an `__enter__` written in C and the block of
        its `with`. Here it runs inside the `try` or inside the block.
        """

        __slots__ = ()

        def __enter__(self) -> bool:
            try:
                return self.acquire()
            except BaseException:
                # The lock was not acquired if the handler raised while this thread waited.
                with suppress(RuntimeError):
                    self.release()
                raise
