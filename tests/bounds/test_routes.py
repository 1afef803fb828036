"""No request to any route holds the loop: each with its largest legal input and its longest answer, among 200,000 keys.

The routes are the router's own: one that has no case here fails.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Put
from tests.bounds.cluster_of_one import ClusterOfOne, running
from tests.bounds.grpc_calls import CALLS
from tests.bounds.meter import TURN_US_MAX
from tests.bounds.requests import BESIDE, CHANGING, COMMAND_CASES, LIKE_ANOTHER, LONG_KEY, READING, Case, ask
from tests.bounds.store import entry, full_store, lease

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterOfOne]:
    store = full_store()
    lease(store, 10**15)
    store.apply([entry(Put(b"vote/9", b"v", 9))])  # who leads the election that the cases are about
    store.apply([entry(Put(LONG_KEY + b"%04d" % i, b"v")) for i in range(1000)])
    with running(tmp_path_factory.mktemp("walk"), store) as cluster:
        cluster.request(ask("GET", "/backup"))  # the thread of its disk work stays as long as the node
        yield cluster


def check(cluster: ClusterOfOne, name: str, case: Case) -> None:
    status, length, worst = cluster.request(case.data, case.until)
    print(f"{name}: {length} bytes, {worst}, {cluster.meter.turns} turns")
    assert status in case.status, cluster.answer
    assert worst.us <= TURN_US_MAX, str(worst)


def test_every_route_of_the_router_has_a_case(tmp_path: Path) -> None:
    walked = {*READING, *CHANGING, *LIKE_ANOTHER, "POST /commands/{name}"}
    with running(tmp_path, KeyValueStore()) as empty:
        assert {f"{method} {path}" for method, path in empty.routes()} == walked


@pytest.mark.parametrize("name", COMMAND_CASES)
def test_a_command(cluster: ClusterOfOne, name: str) -> None:
    check(cluster, name, COMMAND_CASES[name])


@pytest.mark.parametrize("name", [*READING, *BESIDE, *CHANGING])
def test_a_request(cluster: ClusterOfOne, name: str) -> None:
    check(cluster, name, {**READING, **BESIDE, **CHANGING}[name])


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_grpc(cluster: ClusterOfOne, name: str) -> None:
    check(cluster, name, CALLS[name])
