"""Disks that take their time, for tests of who waits for them."""

import queue
import threading

from node.simulation.disk import SimulatedDisk
from tests.storage.logs import WAIT_SECONDS_MAX


class SlowDisk(SimulatedDisk):
    """A disk whose sync waits, once `hold` was called, until `release`; `syncing` is set while one waits."""

    def __init__(self) -> None:
        super().__init__()
        self._gate = threading.Event()
        self._gate.set()
        self.syncing = threading.Event()

    def hold(self) -> None:
        self.syncing.clear()
        self._gate.clear()

    def release(self) -> None:
        self._gate.set()

    def count(self, operation: str) -> None:
        if operation == "sync" and not self._gate.is_set():
            self.syncing.set()
            assert self._gate.wait(WAIT_SECONDS_MAX)
        super().count(operation)


class ClockedDisk(SlowDisk):
    """Takes `sync_s` for a sync, on its own clock, and remembers which threads synced."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.sync_s = 0.0
        self.threads: list[str] = []
        self.synced: queue.SimpleQueue[str] = queue.SimpleQueue()
        """The same names, for whoever waits for a sync."""

    def clock(self) -> float:
        return self.now_s

    def count(self, operation: str) -> None:
        super().count(operation)
        if operation == "sync":
            self.now_s += self.sync_s
            self.threads.append(threading.current_thread().name)
            self.synced.put(threading.current_thread().name)
