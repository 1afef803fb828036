"""The walk can fail: bugs that it is there to find, planted and found. Each is one piece of work that is not sliced."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.api.etcd import json_door
from node.api.etcd.decoding import decoding
from node.api.slices import Steps, at_once
from node.runtime.applying import Applying
from node.statemachine import applying
from node.statemachine.writes import DeleteRange
from tests.bounds.cluster_of_one import running
from tests.bounds.member import member
from tests.bounds.meter import TURN_US_MAX, Work
from tests.bounds.requests import BESIDE, EVERYTHING, post
from tests.bounds.store import full_store
from tests.bounds.test_entries import NOTHING_BUT_COMPARES, wait_for

KEYS = 100_000
"""Half as many are enough to be seen."""


def request(folder: Path, data: bytes, keys: int = 10) -> Work:
    with running(folder, full_store(keys), one_in=1) as cluster:
        return cluster.request(data)[2]


def test_an_answer_that_is_rendered_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_one_piece(parts: Iterator[bytes]) -> Iterator[bytes]:
        return iter([b"".join(parts)])

    monkeypatch.setattr(json_door, "in_pieces", in_one_piece)
    assert request(tmp_path, post("/v3/kv/range", EVERYTHING), KEYS // 4).us > TURN_US_MAX


def test_a_body_that_is_decoded_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sliced = decoding

    def in_one_go(body: bytes, name: str) -> Steps[object]:
        yield 1
        return at_once(sliced(body, name))

    monkeypatch.setattr(json_door, "decoding", in_one_go)
    assert request(tmp_path, BESIDE["many compares"].data).us > TURN_US_MAX


@pytest.mark.longest
def test_an_entry_that_is_applied_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Applying.run, "__defaults__", (10**9,))
    with member(monkeypatch, full_store(KEYS)) as node:
        node.lead()
        assert node.walk(lambda: wait_for(node, DeleteRange(b"\0", b"\0"))).us > TURN_US_MAX


@pytest.mark.slowest
def test_a_command_that_is_let_go_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "DROPPED_PER_UNIT", 10**6)
    with member(monkeypatch) as node:
        node.lead()
        assert node.walk(lambda: wait_for(node, NOTHING_BUT_COMPARES)).us > TURN_US_MAX
