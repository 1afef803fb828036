"""Nodes that find each other by a registry, while it dies, lies, or knows two of one name."""

import json
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.discovery.words import PER_NAME_MAX
from tests.cluster.registered import RegisteredNodes, registered_nodes
from tests.ports import PEER_PORT_OFFSET


class Load:
    """Writes one after the other through whoever takes them; `acknowledged` is what must be there in the end."""

    def __init__(self, nodes: RegisteredNodes) -> None:
        self._nodes = nodes
        self.acknowledged = 0
        self.longest_s = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        names, turn = list(self._nodes.ports), 0
        last = time.monotonic()
        while not self.ended.is_set():
            status, _ = self._nodes.ask(names[turn % len(names)], "/kv/load", str(self.acknowledged + 1).encode())
            if status != 200:
                turn += 1
                continue
            self.acknowledged += 1
            now = time.monotonic()
            self.longest_s, last = max(self.longest_s, now - last), now


@contextmanager
def load_on(nodes: RegisteredNodes) -> Iterator[Load]:
    load = Load(nodes)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        yield load
    finally:
        load.ended.set()
        thread.join()


def more(load: Load, nodes: RegisteredNodes, count: int = 50) -> None:
    goal = load.acknowledged + count
    nodes.until(lambda: load.acknowledged >= goal, f"{count} more writes are acknowledged")


def shows(nodes: RegisteredNodes, leader: str) -> bool:
    listed = nodes.registered() or []
    return {each["name"] for each in listed if each["role"] == "leader"} == {leader} and len(listed) == 3


def a_follower(nodes: RegisteredNodes, leader: str) -> str:
    return next(name for name in nodes.ports if name != leader)


@pytest.mark.slowest
def test_names_alone_make_a_cluster_that_goes_on_under_load_while_its_registry_dies_and_fills_it_again(
    tmp_path: Path,
) -> None:
    with registered_nodes(tmp_path) as nodes:
        leader, term = nodes.until(nodes.leader, "one leader"), nodes.status("n1")["term"]
        nodes.until(lambda: shows(nodes, leader), "the registry lists three nodes, and who leads")
        with load_on(nodes) as load:
            more(load, nodes)
            nodes.end_registry(signal.SIGKILL)
            more(load, nodes, 200)
            nodes.until(lambda: "not registered: " in nodes.log("n1"), "n1 has asked a registry that is dead")
            nodes.start_registry()
            nodes.until(lambda: shows(nodes, leader), "the empty registry is full again")
            more(load, nodes)
        nodes.until(lambda: nodes.leader() == leader, "all follow the leader that there was")
        assert nodes.status("n1")["term"] == term, "nobody stood for election"
        assert nodes.ask("n2", "/kv/load")[1] == str(load.acknowledged).encode()
        nodes.until(lambda: "registered again at" in nodes.log("n1"), "n1 says that it is registered again")


@pytest.mark.slowest
def test_a_node_that_moves_is_found_at_its_new_port_also_while_the_registry_is_silent(tmp_path: Path) -> None:
    with registered_nodes(tmp_path) as nodes:
        leader = nodes.until(nodes.leader, "one leader")
        mover = a_follower(nodes, leader)
        nodes.end_by(mover, signal.SIGKILL)
        assert mover in nodes.registered_names(), "the registry cannot know yet: the registration is stale"
        nodes.put(leader, "while", b"away")
        nodes.ports[mover] += 3
        nodes.start(mover)
        nodes.until(lambda: nodes.linked(leader, mover), f"{leader} dials {mover} at its new port")
        nodes.until(lambda: nodes.ask(mover, "/kv/while")[1] == b"away", f"{mover} has what it missed")

        def only_the_new() -> bool:
            ports = [each["port"] for each in nodes.registered() or [] if each["name"] == mover]
            return ports == [nodes.ports[mover] + PEER_PORT_OFFSET]

        nodes.until(only_the_new, "the stale registration is forgotten")
        assert "another process calls itself" not in nodes.log(mover)

        assert nodes.registry is not None
        nodes.registry.send_signal(signal.SIGSTOP)
        nodes.end_by(mover, signal.SIGKILL)
        nodes.until(lambda: not nodes.linked(leader, mover), "its links are down")
        nodes.start(mover)
        nodes.until(lambda: nodes.linked(leader, mover), "it is dialled where it was last registered")
        nodes.until(lambda: nodes.leader() == leader, "it follows the leader that there was")


def squat(nodes: RegisteredNodes) -> socket.socket:
    """Register as many processes of each name as there may be, where a port takes connections and says nothing."""
    silent = socket.create_server(("0.0.0.0", 0))
    port = silent.getsockname()[1]
    for name in nodes.ports:
        for number in range(PER_NAME_MAX):
            place = {"host": f"127.0.0.{number + 1}", "port": port, "ttl_ms": 60_000}
            body = json.dumps({"name": name, "boot": f"p{number}", "incarnation": "theirs", **place}).encode()
            url = f"http://127.0.0.1:{nodes.registry_port}/nodes/{name}"
            with urllib.request.urlopen(urllib.request.Request(url, body, method="PUT"), timeout=5):
                pass
    return silent


@pytest.mark.slowest
def test_nodes_with_addresses_find_each_other_whoever_took_their_names_at_the_registry(tmp_path: Path) -> None:
    nodes = RegisteredNodes(tmp_path)
    nodes.seeds = ",".join(f"{name}=127.0.0.1:{port + PEER_PORT_OFFSET}" for name, port in nodes.ports.items())
    try:
        nodes.start_registry()
        with squat(nodes):
            for name in nodes.ports:
                nodes.start(name)
            leader = nodes.until(nodes.leader, "all nodes know a leader")
            refused = f"{PER_NAME_MAX} processes are registered as n1 already"
            nodes.until(lambda: refused in nodes.log("n1"), "n1 says that its name is taken")
            follower = a_follower(nodes, leader)
            nodes.end_by(follower, signal.SIGKILL)
            nodes.put(leader, "while", b"away")
            nodes.start(follower)
            nodes.until(lambda: nodes.ask(follower, "/kv/while")[1] == b"away", f"{follower} has what it missed")
    finally:
        for process in nodes.everything:
            process.kill()
            process.wait()


@pytest.mark.slowest
def test_two_nodes_of_one_name_are_told_of_it_and_the_cluster_goes_on_until_one_of_them_ends(tmp_path: Path) -> None:
    """They take each other's links away, whoever is dialled; what is committed is so without either."""
    with registered_nodes(tmp_path) as nodes:
        leader = nodes.until(nodes.leader, "one leader")
        term = nodes.status(leader)["term"]
        double = a_follower(nodes, leader)
        nodes.start(double, port=nodes.ports["n1"] + 6, folder="impostor", log="impostor")
        told = f"another process calls itself {double}"
        nodes.until(lambda: told in nodes.log(double) and told in nodes.log("impostor"), "both are told of it")
        assert nodes.registered_names().count(double) == 2
        nodes.put(leader, "whose", b"the members'")
        assert nodes.status(leader)["role"] == "leader"
        nodes.end_by("impostor", signal.SIGTERM)
        nodes.until(lambda: nodes.registered_names().count(double) == 1, "who leaves is withdrawn")
        nodes.until(lambda: nodes.linked(leader, double), "the member is linked again")
        nodes.until(lambda: nodes.ask(double, "/kv/whose")[1] == b"the members'", "the member follows again")
        nodes.until(lambda: nodes.leader() == leader, "all follow the leader that there was")
        assert nodes.status(leader)["term"] == term, "nobody stood for election"
