"""Each way in which a node can end has its exit code and one sentence."""

import errno

import pytest

from node.exits import exit_of
from node.raft.errors import InvariantViolation
from node.runtime.snapshot_ports import UnreadableSnapshot
from node.settings import load
from node.storage.errors import StorageError

SETTINGS = load({"name": "n1", "seeds": "n1=127.0.0.1:9001", "data_dir": "d"}, {}).settings


@pytest.mark.parametrize(
    ("failure", "code", "sentence"),
    [
        (None, 0, ""),
        (OSError(errno.EADDRINUSE, "in use"), 2, "cannot listen on 127.0.0.1:8001 and 127.0.0.1:9001 (in use)"),
        (StorageError("the disk is full"), 3, "the disk is full"),
        (UnreadableSnapshot("the snapshot of entry 7 is damaged"), 3, "the snapshot of entry 7 is damaged"),
        (InvariantViolation("two leaders"), 70, "two leaders"),
        (ZeroDivisionError("a bug"), 70, "a bug"),
    ],
)
def test_the_code_and_the_sentence_of_each_end(failure: Exception | None, code: int, sentence: str) -> None:
    found = exit_of(failure, SETTINGS)
    assert found[0] == code
    assert found[1].startswith(sentence)
    assert bool(found[1]) == bool(sentence)


def test_an_address_in_use_names_those_that_this_node_has() -> None:
    failure = OSError(errno.EADDRINUSE, "in use")
    watched = load(
        {"name": "n1", "seeds": "n1=127.0.0.1:9001", "data_dir": "d", "operations_port": "8002"}, {}
    ).settings
    assert exit_of(failure, watched)[1].startswith(
        "cannot listen on 127.0.0.1:8001, 127.0.0.1:8002 and 127.0.0.1:9001 (in use)"
    )
    assert exit_of(failure, SETTINGS, has_peer_port=False)[1].startswith("cannot listen on 127.0.0.1:8001 (in use)")
