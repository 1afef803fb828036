"""What a node that waits says in its log: a lost vote at once and every minute, the rest once a birth is overdue."""

import logging
from collections.abc import Callable

import msgspec
import pytest

from node.raft.status import CoreStatus
from node.waiting import AGAIN_LOOKS, PATIENCE_LOOKS, Waiting
from tests.raft.bench import Server

EMPTY = Server("a", seeds=("a", "b", "c"))


class Clock:
    """One timer; `look` lets a second pass."""

    def __init__(self) -> None:
        self.core = msgspec.structs.replace(EMPTY.raft.status(EMPTY.now), waiting_for="", vote_lost=False)
        self._action: Callable[[], None] = lambda: None

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._action = action

    def look(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self._action()

    def now(self) -> CoreStatus:
        return self.core


def test_a_lost_vote_is_told_at_once_and_every_minute_and_other_waits_later(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    Waiting(clock.now, clock.later).start()

    def said(seconds: int = 1) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "node"):
            clock.look(seconds)
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    assert said(100) == []
    clock.core = msgspec.structs.replace(clock.core, waiting_for="no answer from b")
    assert said(PATIENCE_LOOKS - 1) == []
    assert said() == ["this node waits: no answer from b"]
    clock.core = msgspec.structs.replace(clock.core, waiting_for="b knows another disk", vote_lost=True)
    assert said() == ["this node has no vote: b knows another disk"]
    assert said(AGAIN_LOOKS - 1) == []
    assert said() == ["this node has no vote: b knows another disk"]
    clock.core = msgspec.structs.replace(clock.core, waiting_for="", vote_lost=False)
    assert said(2 * AGAIN_LOOKS) == []
    clock.core = msgspec.structs.replace(clock.core, waiting_for="b knows another disk", vote_lost=True)
    assert said() == ["this node has no vote: b knows another disk"], "the next loss is told at once, too"
