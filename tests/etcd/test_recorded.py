"""Every answer equals what etcd 3.6.8 once gave to the same request."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from tests.api.double import client_of, serving
from tests.etcd import lease_story, member_story, turn_story, watch_story
from tests.etcd.comparison import Client, comparable
from tests.etcd.processes import running_node
from tests.etcd.record import (
    Exchange,
    recorded_cases,
    recorded_generated,
    recorded_leases,
    recorded_members,
    recorded_turns,
    recorded_watches,
)


@pytest.mark.parametrize("recorded", [recorded_cases, recorded_generated], ids=["edges", "generated"])
async def test_a_node_answers_as_etcd_did(recorded: Callable[[], list[Exchange]]) -> None:
    exchanges = recorded()
    differences = []
    async with serving() as server, client_of(server) as http:
        for at, exchange in enumerate(exchanges):
            answer = await _post(http, exchange)
            if answer != exchange.answer:
                body = exchange.request.body[:400]
                differences.append(f"{at} {exchange.request.path} {body!r}\netcd: {exchange.answer}\nhere: {answer}")
    assert not differences, f"{len(differences)} of {len(exchanges)} differ\n" + "\n\n".join(differences[:5])


def test_a_node_answers_about_members_as_etcd_did(tmp_path: Path) -> None:
    """A real cluster of one: ids and addresses are its own."""
    with running_node(tmp_path) as port, Client(port) as own:
        for (request, expected), answer in zip(recorded_members(), member_story.answers(own), strict=True):
            assert answer == expected, request


def test_a_node_answers_about_leases_as_etcd_did(tmp_path: Path) -> None:
    with running_node(tmp_path) as port, Client(port) as own:
        for (request, expected), answer in zip(recorded_leases(), lease_story.answers(own), strict=True):
            assert answer == expected, request


def test_a_node_tells_watches_what_etcd_did(tmp_path: Path) -> None:
    with running_node(tmp_path) as port:
        for step, expected, own in zip(watch_story.STEPS, recorded_watches(), watch_story.said(port), strict=True):
            assert own == expected, step


async def test_what_is_recorded_reaches_every_kind_of_answer() -> None:
    """A file of one kind of request alone would prove little."""
    every = (*recorded_cases(), *recorded_generated(), *recorded_members())
    told = {(e.answer.status, e.answer.body.get("code", 0)) for e in every}
    assert {(200, 0), (400, 3), (400, 9), (400, 11), (404, 5), (429, 8), (500, 2)} <= told
    generated = recorded_generated()
    assert len(generated) >= 1000
    assert sum(e.answer.status == 200 for e in generated) > 0.7 * len(generated)


async def _post(http: aiohttp.ClientSession, exchange: Exchange) -> object:
    async with http.post(exchange.request.path, data=BytesIO(exchange.request.body)) as answer:
        return comparable(answer.status, await answer.read())


def test_a_node_answers_about_locks_and_elections_as_etcd_did(tmp_path: Path) -> None:
    with running_node(tmp_path) as port:
        for expected, own in zip(recorded_turns(), turn_story.said(port), strict=True):
            assert own == expected
