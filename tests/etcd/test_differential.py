"""A running etcd and a running node answer alike, whatever they are asked."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.etcd import lease_story, member_story, turn_story, watch_story
from tests.etcd.cases import cases
from tests.etcd.comparison import Client
from tests.etcd.generator import Generator
from tests.etcd.processes import etcd_program, running_etcd, running_node

SEEDS_SLOWEST = range(100, 103)


@pytest.fixture
def etcd() -> str:
    """The program, or a skipped test."""
    program = etcd_program()
    if program is None:
        pytest.skip("no etcd: put etcd 3.6 on PATH, or name it in ETCD")
    return program


@contextmanager
def both(etcd: str, folder: Path) -> Iterator[tuple[Client, Client]]:
    """Clients of an empty etcd and of an empty node."""
    with running_etcd(etcd, folder) as port, running_node(folder) as own_port, ExitStack() as stack:
        yield stack.enter_context(Client(port)), stack.enter_context(Client(own_port))


def compare(etcd: str, folder: Path, seed: int, requests: int) -> list[str]:
    """Ask both; what differed."""
    differences = []
    generator, revision = Generator(seed), 1
    with both(etcd, folder) as (reference, own):
        for at in range(requests):
            request = generator.next(revision)
            expected, answer = reference.post(request), own.post(request)
            revision = max(revision, expected.revision)
            if answer != expected:
                differences.append(f"seed {seed}, {at}: {request}\netcd: {expected}\nhere: {answer}")
    return differences


def test_a_node_and_etcd_answer_alike(etcd: str, tmp_path: Path) -> None:
    assert compare(etcd, tmp_path, 1, 700) == []


def test_a_node_and_etcd_answer_alike_at_the_edges(etcd: str, tmp_path: Path) -> None:
    with both(etcd, tmp_path) as (reference, own):
        for request in cases():
            assert own.post(request) == reference.post(request), request.body[:400]


def test_a_node_and_etcd_answer_alike_about_members(etcd: str, tmp_path: Path) -> None:
    with both(etcd, tmp_path) as (reference, own):
        told = zip(member_story.requests(), member_story.answers(reference), member_story.answers(own), strict=True)
        for request, expected, answer in told:
            assert answer == expected, request


def test_a_node_and_etcd_answer_alike_about_leases(etcd: str, tmp_path: Path) -> None:
    with both(etcd, tmp_path) as (reference, own):
        told = zip(lease_story.requests(), lease_story.answers(reference), lease_story.answers(own), strict=True)
        for request, expected, answer in told:
            assert answer == expected, request


def test_a_node_and_etcd_tell_watches_alike(etcd: str, tmp_path: Path) -> None:
    with running_etcd(etcd, tmp_path) as port, running_node(tmp_path) as own_port:
        for step, expected, own in zip(
            watch_story.STEPS, watch_story.said(port), watch_story.said(own_port), strict=True
        ):
            assert own == expected, step


@pytest.mark.slowest
@pytest.mark.parametrize("seed", SEEDS_SLOWEST)
def test_a_node_and_etcd_answer_alike_for_long(etcd: str, tmp_path: Path, seed: int) -> None:
    assert compare(etcd, tmp_path, seed, 5000) == []


def test_a_node_and_etcd_answer_alike_about_locks_and_elections(etcd: str, tmp_path: Path) -> None:
    with running_etcd(etcd, tmp_path) as port, running_node(tmp_path) as own_port:
        for expected, own in zip(turn_story.said(port), turn_story.said(own_port), strict=True):
            assert own == expected
