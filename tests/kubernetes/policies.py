"""How the machine's network treats NetworkPolicies: one setting for the whole cluster, which files that run beside one
another share. Who needs them enforced holds them as they are; who changes them waits until nobody does, and who comes
meanwhile waits behind: where others come and go, there may never be a moment at which nobody holds them.
"""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from tests.kubernetes.kube import run

PLUGIN = Path(__file__).parents[3] / "shared" / "kubernetes" / "cluster"
"""Stands beside the project on machines that have a Kubernetes of their own: it switches how policies behave."""

LOCKS = Path(tempfile.gettempdir())
"""Of the machine, as the setting is: two working copies may run their tests on one cluster."""

_HELD: list[TextIO] = []
"""The lock of this process, where it has one: a lock of another file object of its own would wait for it."""


@contextmanager
def enforced() -> Iterator[None]:
    """No other process changes how policies behave meanwhile."""
    if _HELD:
        yield
        return
    with (LOCKS / "raft-test-policies.lock").open("w") as lock:
        _take(lock, fcntl.LOCK_SH)
        _HELD.append(lock)
        try:
            yield
        finally:
            _HELD.remove(lock)


def _take(lock: TextIO, how: int) -> None:
    """In the order in which they came: a lock alone lets those who share it go past who wants it alone."""
    with (LOCKS / "raft-test-policies.queue").open("w") as queue:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(lock, how)


@contextmanager
def policies(behaviour: str) -> Iterator[None]:
    """Have the machine's network plugin keep or cut open connections, or ignore policies; `keep` again afterwards.

    Elsewhere what is asked of `keep` must hold however it is.
    """
    with enforced():
        if behaviour == "keep":
            yield
            return
        if not PLUGIN.exists():
            pytest.skip("this Kubernetes cannot change how it enforces policies")
        fcntl.flock(_HELD[0], fcntl.LOCK_UN)  # two that wait for each other's share would wait for ever
        _take(_HELD[0], fcntl.LOCK_EX)
        try:
            run(str(PLUGIN), "policies", behaviour)
            yield
        finally:
            run(str(PLUGIN), "policies", "keep")
            fcntl.flock(_HELD[0], fcntl.LOCK_SH)
