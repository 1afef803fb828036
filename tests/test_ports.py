"""Ports that tests, and scenarios, start nodes on: nobody is given what another process was given."""

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from node.scenarios import ports as scenarios
from node.scenarios.outcome import ToolFailure
from tests.ports import BLOCK, END, FIRST, PEER_PORT_OFFSET, SLICE, NoFreePorts, _Slice, free_base_port, free_port

ASKING = """
import sys
from tests.ports import free_base_port
print(*(free_base_port(3) for _ in range(40)), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def asking() -> Iterator[set[int]]:
    """The ports of a process that goes on."""
    command = [sys.executable, "-c", ASKING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        bases = [int(port) for port in process.stdout.readline().split()]
        yield {port + offset for base in bases for port in range(base, base + 3) for offset in (0, PEER_PORT_OFFSET)}
        process.communicate()


def test_processes_that_ask_at_once_are_given_different_ports() -> None:
    with asking() as one, asking() as another:
        mine = {free_base_port(1), free_port()}
    assert len(one) > 3 * 2, "it goes round, and gives the same ones again as late as it can"
    assert one & another == set()
    assert mine & (one | another) == set()


def test_ports_of_a_process_that_ended_are_for_others() -> None:
    for _ in range((END - FIRST) // (2 * SLICE) + 1):  # more than there are slices
        with asking() as given:
            assert given


def test_ports_that_were_asked_for_one_after_the_other_differ() -> None:
    assert abs(free_base_port(3) - free_base_port(3)) >= 3


@pytest.fixture
def unused() -> Iterator[_Slice]:
    """One of which nobody has been given any."""
    made = _Slice(first=END, end=END + 2 * PEER_PORT_OFFSET)
    yield made
    made.give_back()


def test_a_port_that_is_in_use_is_passed_over(unused: _Slice) -> None:
    with contextlib.ExitStack() as held:
        given = [unused.row(1) for _ in range(SLICE // BLOCK)]
        for port in given[1:]:
            held.enter_context(socket.create_server(("127.0.0.1", port)))
        assert {unused.row(1) for _ in range(5)} == {given[0]}
        held.enter_context(socket.create_server(("127.0.0.1", given[0])))
        with pytest.raises(NoFreePorts, match="something left nodes behind"):
            unused.row(1)


def test_a_row_may_be_long_and_one_that_is_too_long_is_told(unused: _Slice) -> None:
    assert unused.row(240) == unused.row(1)
    with pytest.raises(NoFreePorts):
        unused.row(241)


def test_a_slice_is_refused_where_all_are_taken() -> None:
    with pytest.raises(NoFreePorts, match="too many run tests"):
        _Slice(first=FIRST, end=FIRST)


async def test_pytest_gives_ports_of_this_process(unused_tcp_port: int) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", unused_tcp_port)
    server.close()
    await server.wait_closed()
    assert unused_tcp_port // SLICE == free_port() // SLICE


def test_scenarios_are_played_on_ports_that_no_dial_of_anybody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [scenarios.free_row(11), scenarios.free_row(11)]
    for pid in (1000, 1001):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        monkeypatch.setattr(scenarios, "_given", itertools.count())
        given.append(scenarios.free_row(11))
    assert all(port >= scenarios.FIRST and port + 11 <= scenarios.END for port in given)
    assert abs(given[0] - given[1]) >= 11, "what was given is not given again at once"
    assert abs(given[2] - given[3]) >= 11, "each process begins somewhere else"


def test_a_scenario_passes_over_ports_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "_given", itertools.count())
    first = scenarios.free_row(11)
    monkeypatch.setattr(scenarios, "_given", itertools.count())
    with socket.create_server(("127.0.0.1", first + 10)):
        assert scenarios.free_row(11) != first


def test_no_free_ports_for_a_scenario_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "END", scenarios.FIRST)
    with pytest.raises(ToolFailure, match="no 11 free ports"):
        scenarios.free_row(11)
