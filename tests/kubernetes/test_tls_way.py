"""From plain text to mutual TLS on a running release, by the upgrades of docs/operations.md, without a failed write."""

from pathlib import Path

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import CommandFailed, Namespace
from tests.kubernetes.loading import every_pod, load
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release, release
from tests.kubernetes.secure import CLIENT, MUTUAL, Certificates, secure_doors
from tests.kubernetes.watching import pod_watch

WRITES_BETWEEN = 50
BOTH = (*MUTUAL, "--set", "tls.clients.accept=both,tls.peers.accept=both")
STEPS = {
    "both are taken": (*BOTH, "--set", "tls.peers.dial=plain"),
    "nodes dial with TLS": (*BOTH, "--set", "tls.peers.dial=tls"),
    "TLS alone": MUTUAL,
}


def test_a_running_release_comes_from_plain_text_to_mutual_tls_without_a_failed_write(
    space: Namespace, proxy: Proxy, tmp_path: Path, evidence: Path
) -> None:
    certificates = Certificates(space, "raft", tmp_path)
    with secure_doors(space, certificates, evidence) as doors, release(space, proxy) as raft:
        raft.healthy()
        first, second, last = STEPS.items()
        with pytest.raises(CommandFailed) as refused:
            raft.upgrade(*last[1])
        assert "one step after the other" in refused.value.said
        with load(raft, evidence, every_pod(raft), name="moving") as plain:
            upgraded(raft, evidence, *first)
            plain.more_acknowledged(WRITES_BETWEEN)
            with load(raft, evidence, name="sealed", secret=CLIENT) as sealed:
                upgraded(raft, evidence, *second)
                plain.more_acknowledged(WRITES_BETWEEN)
                told = {"plain text": plain.stop()}  # clients have moved
                raft._proxy = doors
                upgraded(raft, evidence, *last)
                sealed.more_acknowledged(WRITES_BETWEEN)
                told["TLS"] = sealed.stop()
        raft.healthy()
        for way, lines in told.items():
            bad = [line for line in lines if line["outcome"] != "acknowledged"]
            assert not bad, (way, bad[:5])
            nothing_is_lost(raft, lines)
            figure(f"to mutual TLS, with {way}: acknowledged writes", sum(line["op"] == "put" for line in lines))
            figure(f"to mutual TLS, with {way}: longest stall", longest_stall_s(lines), "s")
        plain_now = raft.namespace.kubectl(
            *("exec", raft.nodes[0], "--container=node", "--", "python", "-c"),
            "import urllib.error, urllib.request as u\n"
            "try: u.urlopen('http://127.0.0.1:8001/status')\n"
            "except urllib.error.HTTPError as refused: print(refused.code, refused.read().decode())",
        )
        assert plain_now.startswith("400 ")
        said = raft.namespace.helm("test", raft.name, "--timeout=120s", timeout_s=150)
        assert "Succeeded" in said


def upgraded(raft: Release, evidence: Path, step: str, values: tuple[str, ...]) -> None:
    """One pod at a time."""
    folder = evidence / step.replace(" ", "-")
    folder.mkdir()
    before = {node: pod["metadata"]["uid"] for node, pod in raft.pods().items()}
    with pod_watch(raft, folder) as watch:
        begun = raft.now()
        raft.upgrade(*values)
        seen = watch.seen()
    after = {node: pod["metadata"]["uid"] for node, pod in raft.pods().items()}
    assert set(before.values()).isdisjoint(after.values()), f"{step}: every pod is another one"
    assert seen.most_away == 1, f"{step}: one pod at a time"
    figure(f"to mutual TLS, {step}: the upgrade took", raft.now() - begun, "s")
