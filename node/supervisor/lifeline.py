"""No process outlives its parent, not even when the parent is killed with SIGKILL or the child is stopped.

Why it exists: a supervisor that is killed cannot clean up, so each child must carry its own end. On Linux the kernel
does it (PR_SET_PDEATHSIG): it needs no cooperation, so a SIGSTOPped child dies too. Elsewhere a thread of the child
looks at its parent's number, which changes when the parent ends: a child that is stopped there ends once continued.
It must not decide when a process should end for any other reason.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_ON_LINUX: bool = sys.platform.startswith("linux")
PARENT_POLL_SECONDS = 0.2
"""How often the parent is looked at where the kernel gives no signal."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def before_exec(parent: int) -> Callable[[], None] | None:
    """What a child of process `parent` must run between fork and exec; None where the system offers nothing.

    The library is loaded here, in the parent: between fork and exec as little as possible may happen. The kernel
    watches the *thread* that forked, so fork from the main thread.
    """
    if not _ON_LINUX:
        return None
    prctl = _libc().prctl

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the line above, so no signal will ever come
            os._exit(1)

    return tie


def end_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """From now on this process gets `how` when its parent ends. Call it early, from the main thread."""
    parent = os.getppid()
    if _ON_LINUX:
        _libc().prctl(_PR_SET_PDEATHSIG, how, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), how)
        return
    watch_parent(parent, lambda: os.kill(os.getpid(), how))


def watch_parent(parent: int, ended: Callable[[], None], stop: threading.Event | None = None) -> threading.Thread:
    """Call `ended` from a thread once `parent` no longer is this process's parent, unless `stop` is set before."""
    stopping = stop or threading.Event()

    def watch() -> None:
        while not stopping.wait(PARENT_POLL_SECONDS):
            if os.getppid() != parent:
                ended()
                return

    thread = threading.Thread(target=watch, name="parent-watch", daemon=True)
    thread.start()
    return thread
