"""A release with mutual TLS: installed from a Secret, used, renewed under load, and broken by the account that
may touch its pods alone."""

import http.client
from pathlib import Path

import pytest
import trustme

from tests.kubernetes.chaos_account import RBAC
from tests.kubernetes.chaos_tool import Tool, left_by_label, passed, policy_specs
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import CommandFailed, Namespace, until
from tests.kubernetes.loading import Load, load, looked_at
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.policies import policies
from tests.kubernetes.release import Release
from tests.kubernetes.secure import (
    ASKED_FOR_TOKENS,
    CLIENT,
    MUTUAL,
    Certificates,
    SecureDoors,
    put_tokens,
)

INSTALLED_WITH = (*MUTUAL, *RBAC, "--set", "networkPolicy.enabled=true")
RENEWED_SECONDS_MAX = 180.0
"""A kubelet looks at a Secret again within two minutes at most."""
WRITES_AFTER = 50


@pytest.fixture(scope="module")
def certificates(space: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(space, "raft", tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def as_a_client(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """What raft-chaos trusts and shows."""
    for name, value in certificates.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.smoke
def test_an_install_with_mutual_tls_becomes_ready_and_passes_its_own_test(raft: Release) -> None:
    raft.healthy()
    said = raft.namespace.helm("test", raft.name, "--timeout=120s", timeout_s=150)
    assert "Succeeded" in said


@pytest.mark.smoke
def test_what_is_written_with_tls_through_one_pod_is_read_through_every_other(raft: Release) -> None:
    revision = raft.write(raft.nodes[0], "sealed", "one")
    assert revision > 0
    assert [raft.value(node, "sealed") for node in raft.nodes] == [b"one"] * 3
    told = raft.namespace.kubectl("exec", raft.nodes[1], "--container=node", "--", "raft-node", "get", "sealed")
    assert told.strip() == "one", "a command in a pod asks as its node demands it"


def test_who_shows_nothing_or_speaks_plain_text_is_let_in_nowhere(raft: Release, secure: SecureDoors) -> None:
    for node in raft.nodes:
        with pytest.raises((OSError, http.client.HTTPException)):
            asked(secure, node)
        plain = secure.connection(node, None)
        plain.request("PUT", "/kv/sealed", b"two")
        answer = plain.getresponse()
        assert (answer.status, b"use https://" in answer.read()) == (400, True)
        plain.close()
    assert raft.value(raft.nodes[0], "sealed") == b"one"


def asked(secure: SecureDoors, node: str, *, shows: bool = False) -> int:
    """As a client without a certificate, or with its own."""
    connection = secure.connection(node, secure.certificates.context(shows=shows))
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_renewed_certificate_is_shown_without_a_restart_or_a_failed_write(
    raft: Release, secure: SecureDoors, certificates: Certificates, evidence: Path
) -> None:
    raft.healthy()
    before = {node: (pod["metadata"]["uid"], raft.restarts(node)) for node, pod in raft.pods().items()}
    with load(raft, evidence, secret=CLIENT) as running:
        serial = certificates.renew()
        begun = raft.now()
        until(
            "every node shows the new certificate",
            lambda: all(secure.serial(node) == serial for node in raft.nodes),
            RENEWED_SECONDS_MAX,
            every_s=1.0,
        )
        figure("a renewed Secret is shown by every node after", raft.now() - begun, "s")
        running.more_acknowledged(WRITES_AFTER)
        lines = running.stop()
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    assert not bad, bad[:5]
    nothing_is_lost(raft, lines)
    assert {node: (pod["metadata"]["uid"], raft.restarts(node)) for node, pod in raft.pods().items()} == before
    figure("renewal under load: longest stall", longest_stall_s(lines), "s")


def test_another_authority_takes_three_renewals_and_no_restart_or_failed_write(
    raft: Release, secure: SecureDoors, certificates: Certificates, evidence: Path
) -> None:
    raft.healthy()
    before = {node: (pod["metadata"]["uid"], raft.restarts(node)) for node, pod in raft.pods().items()}
    old, new = certificates.ca, trustme.CA()

    def renewed(running: Load, by: trustme.CA, *trusted: trustme.CA) -> None:
        """Everywhere: the nodes, and the client, which trusts what they show before they do."""
        certificates.ca = by
        certificates.renew_client(*trusted)
        running.takes_up(certificates.client)
        serial = certificates.renew(*trusted)

        def shown() -> bool:
            looked_at(raft, f"--selector={raft.selector}")
            return all(secure.serial(node) == serial for node in raft.nodes)

        until("every node shows the new certificate", shown, RENEWED_SECONDS_MAX, every_s=1.0)
        running.more_acknowledged(WRITES_AFTER)

    with load(raft, evidence, secret=CLIENT) as running:
        begun = raft.now()
        renewed(running, old, old, new)
        renewed(running, new, old, new)
        renewed(running, new)
        figure("another authority by three renewals: took", raft.now() - begun, "s")
        lines = running.stop()
    certificates.client.put("somebody", by=old, trusted=(new,))
    with pytest.raises((OSError, http.client.HTTPException)):
        asked(secure, raft.nodes[0], shows=True)
    certificates.renew_client()
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    assert not bad, bad[:5]
    nothing_is_lost(raft, lines)
    assert {node: (pod["metadata"]["uid"], raft.restarts(node)) for node, pod in raft.pods().items()} == before
    figure("another authority under load: longest stall", longest_stall_s(lines), "s")


def test_the_account_of_raft_chaos_gets_into_no_pod_but_the_releases(raft: Release, account: Path) -> None:
    for right, may in (
        (("create", "pods/raft-0", "--subresource=exec"), "yes"),
        (("create", "pods/raft-6", "--subresource=exec"), "yes"),
        (("create", "pods/other", "--subresource=exec"), "no"),
        (("create", "pods", "--subresource=exec"), "no"),
        (("create", "pods/other", "--subresource=portforward"), "no"),
        (("delete", "pods/other"), "no"),
        (("get", "secrets"), "no"),
        (("delete", "leases/other"), "no"),
        (("patch", "networkpolicies/other"), "no"),
    ):
        try:
            said = raft.namespace.kubectl(f"--kubeconfig={account}", "auth", "can-i", *right)
        except CommandFailed as refused:  # its exit code is 1
            said = refused.said
        assert said.strip().splitlines()[-1] == may, right


def test_doctor_finds_every_right_that_it_asks_for_by_name(tool: Tool) -> None:
    found = tool("doctor", "--dry-run", "-o", "json").json["findings"]
    assert [one for one in found if one["about"] == "permissions" and one["level"] == "error"] == []


def test_a_leader_is_killed_over_tls_by_the_narrow_account(tool: Tool) -> None:
    leader = tool.leader()
    record = passed(tool.run("kill-leader", "--mode", "sigkill", "--yes", "-o", "json"))
    (failover,) = record["failovers"]
    assert failover["killed"] == leader != failover["new_leader"]
    figure("with TLS, kill-leader --mode sigkill: nobody could write for", failover["unavailable_us"] / 1e6, "s")


def test_a_partition_is_proven_over_tls_by_the_narrow_account_and_leaves_nothing(
    tool: Tool, raft: Release, secure: SecureDoors
) -> None:
    before = policy_specs(raft)
    refused = refused_among_peers(raft)
    with policies("keep"):
        record = passed(tool.run("partition", "--duration", "10s", "--yes", "-o", "json"))
    (fault,) = record["faults"]
    assert fault["reverting_us"] - fault["effective_us"] >= 10_000_000
    assert policy_specs(raft) == before
    assert left_by_label(raft.namespace) == []
    assert refused_among_peers(raft) == refused, "dialling to prove it rings no alarm"
    figure("with TLS, partition: proven after", (fault["effective_us"] - fault["injected_us"]) / 1e6, "s")


IN_A_POD = """
import json, urllib.error, urllib.request
for path in ("metrics", "readyz", "kv/sealed"):
    try:
        answer = urllib.request.urlopen(f"http://127.0.0.1:8002/{path}")
        print(answer.status)
    except urllib.error.HTTPError as refused:
        print(refused.code)
"""


def test_with_tokens_nobody_gets_in_without_one_but_who_watches(raft: Release, secure: SecureDoors) -> None:
    space = raft.namespace
    secure.token = put_tokens(space)
    raft.upgrade(*INSTALLED_WITH, *ASKED_FOR_TOKENS)
    raft.healthy()
    assert "Succeeded" in space.helm("test", raft.name, "--timeout=120s", timeout_s=150)
    secure.token = ""
    for node in raft.nodes:
        answers = [secure.ask(space.name, node, path) for path in ("/status", "/kv/sealed", "/livez")]
        assert [answer.status if answer else 0 for answer in answers] == [401, 401, 200]
        watched = space.kubectl("exec", node, "--container=node", "--", "python", "-c", IN_A_POD).split()
        assert watched == ["200", "200", "404"]


def refused_among_peers(raft: Release) -> int:
    """Handshakes that all nodes refused at the peers' port, as the alarm counts them."""
    found = 0
    for node in raft.nodes:
        answer = raft._proxy.ask(raft.namespace.name, node, "/metrics")
        assert answer is not None
        for line in answer.body.decode().splitlines():
            if line.startswith("raft_tls_handshakes_refused_total") and 'port="peer"' in line:
                found += 0 if 'why="left"' in line or 'why="silent"' in line else int(float(line.rpartition(" ")[2]))
    return found
