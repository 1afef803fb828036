"""Clients of etcd that nobody here wrote, unchanged: what each of them shows against etcd, it shows against our nodes.

`clients/` has a small program for each. The same program passes against etcd, which shows that it is right.
"""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.etcd.processes import etcd_program, running_etcd, running_node
from tests.judges.building import go_client, jetcd, python_client
from tests.judges.systems import Three, three_etcds, three_nodes

pytestmark = pytest.mark.timeout(1200)

SECONDS_MAX = 120.0

BUILT: dict[str, Callable[[], list[str]]] = {
    "go": go_client,
    "jetcd": jetcd,
    "etcd3": partial(python_client, "etcd3"),
    "aetcd": partial(python_client, "aetcd"),
}
SHOWN = {"go": 12, "jetcd": 7, "etcd3": 6, "aetcd": 6}
"""How many things each of them shows."""

SURVIVED = {"go": 4, "jetcd": 4}
"""Those that know several endpoints, and how many things they show over the death of a leader."""


USERS = {"go": 12, "aetcd": 5}
"""Who sends a password in plain text, too, and how many things they show as ann, who has all keys and is no root.
(etcd3 sends its own over TLS alone, to whomever.)"""

_ALL_KEYS = {"permType": "READWRITE", "key": "AA==", "range_end": "AA=="}


def put_users_in_force(endpoint: str) -> None:
    """Their passwords are their names, and `pw`."""
    for path, body in (
        *(("user/add", {"name": name, "password": f"{name}pw"}) for name in ("root", "ann")),
        ("role/add", {"name": "all"}),
        ("role/grant", {"name": "all", "perm": _ALL_KEYS}),
        ("role/add", {"name": "root"}),
        ("user/grant", {"user": "ann", "role": "all"}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("enable", {}),
    ):
        request = urllib.request.Request(f"http://{endpoint}/v3/auth/{path}", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()


def asking_as(user: str) -> dict[str, str]:
    """The environment of a judge."""
    return os.environ | {"JUDGE_USER": user, "JUDGE_PASSWORD": f"{user}pw"}


@contextmanager
def one(kind: str, folder: Path) -> Iterator[str]:
    """The endpoint of an empty cluster of one."""
    with running_node(folder) if kind == "node" else running_etcd(_etcd(), folder) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def three(kind: str, folder: Path) -> Iterator[Three]:
    """An empty cluster of three."""
    with three_nodes(folder) if kind == "node" else three_etcds(_etcd(), folder) as cluster:
        yield cluster


def _etcd() -> str:
    program = etcd_program()
    if program is None:
        pytest.skip("no etcd: put etcd 3.6 on PATH, or name it in ETCD")
    return program


def shown(output: str) -> list[str]:
    """What it says that it has shown."""
    return [line for line in output.splitlines() if line.startswith("shown: ")]


@pytest.mark.parametrize("client", BUILT)
@pytest.mark.parametrize("kind", ["node", "etcd"])
def test_a_client_finds_everything_as_with_etcd(kind: str, client: str, tmp_path: Path) -> None:
    command = BUILT[client]()
    with one(kind, tmp_path) as endpoint:
        done = subprocess.run([*command, endpoint], capture_output=True, text=True, timeout=SECONDS_MAX)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(shown(done.stdout)) == SHOWN[client]


@pytest.mark.parametrize("client", USERS)
@pytest.mark.parametrize("kind", ["node", "etcd"])
def test_a_client_with_a_password_finds_everything_as_with_etcd(kind: str, client: str, tmp_path: Path) -> None:
    command = BUILT[client]()
    with one(kind, tmp_path) as endpoint:
        put_users_in_force(endpoint)
        run = partial(subprocess.run, [*command, endpoint], capture_output=True, text=True, timeout=SECONDS_MAX)
        refused, done = run(), run(env=asking_as("ann"))
    print(done.stdout)
    assert refused.returncode == 1
    assert "user name is empty" in refused.stdout + refused.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(shown(done.stdout)) == USERS[client]


@pytest.mark.parametrize("client", SURVIVED)
@pytest.mark.parametrize("kind", ["node", "etcd"])
def test_a_client_loses_nothing_when_the_leader_is_killed(kind: str, client: str, tmp_path: Path) -> None:
    command = BUILT[client]()
    with (
        three(kind, tmp_path) as cluster,
        (tmp_path / "errors").open("w+") as errors,
        subprocess.Popen(
            [*command, cluster.endpoints, "failover"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            if first == "ready\n":
                cluster.kill_leader()
            output, _ = process.communicate("\n", timeout=SECONDS_MAX)
        finally:
            process.kill()
        print(output)
        assert (first, process.returncode) == ("ready\n", 0), output + (tmp_path / "errors").read_text()
        assert len(shown(output)) == SURVIVED[client]
