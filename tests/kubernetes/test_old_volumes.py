"""Volumes of an earlier install and another `replicaCount`: the data knows its members, and what is told is true."""

from collections.abc import Iterator

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.release import Release
from tests.kubernetes.test_scale import FIVE, voters

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def bare(space: Namespace, proxy: Proxy) -> Iterator[Release]:
    """A release that is installed and uninstalled by the test itself."""
    made = Release(space, "raft", proxy)
    yield made
    made.remove()


def install(raft: Release, nodes: int) -> None:
    """`helm install --wait`; every pod is ready, and a voter, soon."""
    raft.nodes = FIVE[:nodes]
    raft.install("--set", f"replicaCount={nodes}")
    raft.healthy()
    until(f"{nodes} voters", lambda: voters(raft) == raft.nodes, 120)
    assert raft.value(raft.nodes[-1], "kept") in (None, b"yes")


def uninstall(raft: Release) -> None:
    """Helm is done once the StatefulSet is: its pods end a little later, and are a majority until then."""
    raft.namespace.helm("uninstall", raft.name, "--wait", "--timeout=120s", timeout_s=140)
    until("the last pod is gone", lambda: not raft.pods(), 60)


def test_three_five_three_and_three_again_keep_their_data_and_have_the_members_that_were_asked_for(
    bare: Release,
) -> None:
    install(bare, 3)
    bare.write("raft-0", "kept", "yes")
    cluster = bare.ask("raft-0", "/status")["cluster_id"]
    uninstall(bare)
    install(bare, 5)
    assert bare.value("raft-4", "kept") == b"yes"
    bare.upgrade("--set", "replicaCount=3")
    bare.nodes = FIVE[:3]
    bare.healthy()
    assert voters(bare) == FIVE[:3]
    uninstall(bare)
    install(bare, 3)
    assert bare.value("raft-2", "kept") == b"yes"
    assert bare.ask("raft-0", "/status")["cluster_id"] == cluster, "it is one cluster all along"


def test_where_too_few_come_back_they_say_so_and_nobody_is_taken_out(bare: Release) -> None:
    """One of three members is no majority: it must not go on alone, whatever `replicaCount` says."""
    uninstall(bare)
    bare.nodes = FIVE[:1]
    bare.install("--set", "replicaCount=1", wait=False)

    def says() -> bool:
        status = bare.ask("raft-0", "/status")
        return bool(status) and len(status["voters"]) == 3 and not status["leader"]

    until("raft-0 is one of three and has no leader", says, 90)
    assert bare.ask("raft-0", "/readyz") is None
    bare.upgrade("--set", "replicaCount=3", "--no-hooks")  # its last voter cannot be ready: the override is Helm's
    bare.nodes = FIVE[:3]
    bare.healthy()
    assert bare.value("raft-1", "kept") == b"yes"
