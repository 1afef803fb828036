"""A release whose certificates a real cert-manager makes and renews: its controller runs beside the tests, and acts in
their namespace alone. `CERT_MANAGER` names it as tests/tls/cert_manager.py says.
"""

import base64
import json
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.figures import figure
from tests.kubernetes.guarding import CHANGED, uids
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.loading import load
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release
from tests.kubernetes.secure import Client, SecureDoors, cert_manager_acts, serial_of
from tests.tls import cert_manager
from tests.tls.cert_manager import CLIENT, ISSUER, TWO_MINUTES
from tests.tls.certificates import Mounted

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(cert_manager.WHY_NOT), reason=cert_manager.WHY_NOT),
]

MADE = "raft-tls"
TIMES = ",".join(f"tls.certManager.{name}={value}" for name, value in TWO_MINUTES.items())
INSTALLED_WITH = (
    *("--set", f"tls.mode=certManager,tls.certManager.issuer.name={ISSUER},{TIMES}"),
    *("--set", f"tls.clients.mutual=true,tls.clients.existingSecret={CLIENT}"),
)
MADE_SECONDS_MAX = 60.0
RENEWED_SECONDS_MAX = 150.0
SHOWN_SECONDS_MAX = 120.0
WRITES_AFTER = 50
IN_ALL = {"test_a_renewed_certificate_is_shown_without_a_restart_or_a_failed_write": {"by_its_time"}}


@pytest.fixture(scope="module")
def certificates(space: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """That of the guide's client."""
    with cert_manager_acts(space):
        space.apply(*cert_manager.authority())
        ready(space, CLIENT)
        client = Client(space, "raft", tmp_path_factory.mktemp("client"))
        client.client.folder.mkdir()
        fetched(space, CLIENT, client.client)
        yield client


def ready(space: Namespace, certificate: str) -> dict[str, Any]:
    waiting = ("wait", "--for=condition=Ready", f"certificate/{certificate}", f"--timeout={MADE_SECONDS_MAX:.0f}s")
    space.kubectl(*waiting)
    return space.get("certificate", certificate)


def fetched(space: Namespace, secret: str, files: Mounted) -> None:
    """What the Secret holds now."""
    data = space.get("secret", secret)["data"]
    for path in (files.cert, files.key, files.ca):
        Path(path).write_bytes(base64.b64decode(data[Path(path).name]))


def test_pods_come_up_with_the_certificate_that_the_chart_asks_for(raft: Release, secure: SecureDoors) -> None:
    raft.healthy()
    space = raft.namespace
    made = ready(space, "raft")
    connection = secure.connection("raft-0", secure.certificates.context())
    assert isinstance(connection.sock, ssl.SSLSocket)
    shown = connection.sock.getpeercert() or {}
    connection.close()
    names: Any = shown["subjectAltName"]
    assert sorted(name for kind, name in names if kind == "DNS") == sorted(made["spec"]["dnsNames"])
    assert "Succeeded" in space.helm("test", raft.name, "--timeout=120s", timeout_s=150)
    assert raft.write(raft.nodes[0], "sealed", "one") > 0
    assert [raft.value(node, "sealed") for node in raft.nodes] == [b"one"] * 3
    in_a_pod = space.kubectl("exec", raft.nodes[1], "--container=node", "--", "raft-node", "get", "sealed")
    assert in_a_pod.strip() == "one"


def by_its_time(space: Namespace) -> None:
    """cert-manager renews by itself."""


def by_hand(space: Namespace) -> None:
    """As `cmctl renew` asks for it."""
    patch = json.dumps(cert_manager.asked_to_renew(space.get("certificate", "raft")))
    space.kubectl("patch", "certificate", "raft", "--subresource=status", "--type=merge", f"--patch={patch}")


def by_a_lost_secret(space: Namespace) -> None:
    space.kubectl("delete", "secret", MADE)


@pytest.mark.parametrize("renewed", [by_its_time, by_hand, by_a_lost_secret])
def test_a_renewed_certificate_is_shown_without_a_restart_or_a_failed_write(
    raft: Release, secure: SecureDoors, evidence: Path, tmp_path: Path, renewed: Callable[[Namespace], None]
) -> None:
    raft.healthy()
    space, files = raft.namespace, Mounted(tmp_path)
    before = {node: (uid, raft.restarts(node)) for node, uid in uids(raft).items()}
    until("every node shows what there is", partial(all_show, raft, secure, files), SHOWN_SECONDS_MAX, 1.0)
    old = held(space, files)
    with load(raft, evidence, secret=CLIENT) as running:
        begun = raft.now()
        renewed(space)
        until("another certificate is made", lambda: held(space, files) not in (0, old), RENEWED_SECONDS_MAX, 1.0)
        figure(f"cert-manager, {renewed.__name__}: another certificate after", raft.now() - begun, "s")
        begun = raft.now()
        until("every node shows it", partial(all_show, raft, secure, files), SHOWN_SECONDS_MAX, 1.0)
        figure(f"cert-manager, {renewed.__name__}: shown by every node after", raft.now() - begun, "s")
        running.more_acknowledged(WRITES_AFTER)
        lines = running.stop()
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    assert not bad, bad[:5]
    nothing_is_lost(raft, lines)
    figure(f"cert-manager, {renewed.__name__}: longest stall", longest_stall_s(lines), "s")
    assert {node: (uid, raft.restarts(node)) for node, uid in uids(raft).items()} == before


def held(space: Namespace, files: Mounted) -> int:
    """The serial number of what the Secret holds now; 0: there is none."""
    if not space.kubectl("get", "secret", MADE, "--ignore-not-found", "--output=name"):
        return 0
    fetched(space, MADE, files)
    return serial_of(files)


def all_show(raft: Release, secure: SecureDoors, files: Mounted) -> bool:
    """What the Secret holds now, which may be renewed once more meanwhile."""
    serial = held(raft.namespace, files)
    # A kubelet looks at a Secret again when the pod has changed; else within two minutes
    raft.namespace.kubectl("annotate", "pods", f"--selector={raft.selector}", f"seen={serial}", "--overwrite")
    return all(secure.serial(node) == serial for node in raft.nodes)


def test_an_upgrade_is_guarded_and_rolls_with_what_cert_manager_made(raft: Release) -> None:
    raft.healthy()
    before = uids(raft)
    raft.upgrade(*INSTALLED_WITH, *CHANGED)
    raft.healthy()
    assert set(uids(raft).values()).isdisjoint(before.values())
