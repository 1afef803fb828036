"""How file descriptors are divided: the log and the peers first."""

import pytest

from node.api.clients import CLIENTS_MAX
from node.api.events import STREAMS_MAX
from node.file_limits import (
    CLIENTS_MIN,
    FILES_PER_PEER,
    HALF_OPEN_MIN,
    LOG_FILES,
    SPARE_FILES,
    TooFewFiles,
    divide,
    used_now,
)


@pytest.mark.parametrize("limit", [60, 64, 100, 256, 1024, 16384])
def test_clients_get_no_more_than_what_log_and_peers_leave(limit: int) -> None:
    plan = divide(limit, 14, 2)
    kept = LOG_FILES + 2 * FILES_PER_PEER + SPARE_FILES
    assert 14 + kept + plan.clients + plan.half_open <= limit
    assert plan.clients >= CLIENTS_MIN
    assert plan.half_open >= HALF_OPEN_MIN
    assert plan.streams <= plan.clients // 2


def test_with_plenty_the_limits_are_the_usual_ones() -> None:
    plan = divide(16384, 14, 4)
    assert (plan.clients, plan.streams, plan.half_open) == (CLIENTS_MAX, STREAMS_MAX, 64)


def test_too_few_are_refused_with_what_would_do() -> None:
    with pytest.raises(TooFewFiles, match=r"may open 40 files, and with 2 peers it needs 56"):
        divide(40, 14, 2)
    assert divide(56, 14, 2).clients == CLIENTS_MIN


def test_what_is_open_is_counted() -> None:
    before = used_now()
    with open("/dev/null"):
        assert used_now() == before + 1
