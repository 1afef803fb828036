"""Another authority on a running release, by the steps of docs/operations.md and without a failed write: from a Secret
of one's own to a real cert-manager, from one of its issuers to another, and back. A step that is left out is refused.

Each test goes on where the one before it ended. The client has a certificate, too, and follows as the guide says: it is
one process, whose connections go on.
"""

import base64
import ssl
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import trustme

from tests.kubernetes.figures import figure
from tests.kubernetes.guarding import refusal, uids
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.loading import load, looked_at
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release
from tests.kubernetes.secure import CLIENT, Client, SecureDoors, cert_manager_acts, put_secret
from tests.tls import cert_manager
from tests.tls.certificates import Mounted

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(cert_manager.WHY_NOT), reason=cert_manager.WHY_NOT),
]

TAKEN_SECONDS_MAX = 150.0
"""A kubelet looks at a Secret again within two minutes at most."""
WRITES_BETWEEN = 20
BUNDLE = "raft-authorities"
GUIDES, OTHER = "raft-tls", "raft-own"
"""One's own Secret: called as the guide's, which is cert-manager's afterwards, and any other."""
MUTUAL = ("--set", "tls.clients.mutual=true")
BOTH = ("--set", f"tls.authorities.existingSecret={BUNDLE}")


def own(secret: str) -> tuple[str, ...]:
    return (*MUTUAL, "--set", f"tls.mode=secret,tls.existingSecret={secret}")


def made_by(issuer: str) -> tuple[str, ...]:
    return (*MUTUAL, "--set", f"tls.mode=certManager,tls.certManager.issuer.name={issuer}")


INSTALLED_WITH = own(GUIDES)


class Authorities(Client):
    """By name; those of cert-manager are its issuers. What the client trusts and shows is in the Secret CLIENT, too."""

    def __init__(self, space: Namespace, folder: Path) -> None:
        super().__init__(space, "raft", folder)
        self._space, self._folder = space, folder
        self._by_name: dict[str, trustme.CA] = {}

    def __getitem__(self, name: str) -> trustme.CA:
        if name not in self._by_name:
            self._by_name[name] = trustme.CA()
        return self._by_name[name]

    def issuer(self, name: str) -> None:
        """Have cert-manager sign by it."""
        pair = {"tls.crt": self[name].cert_pem.bytes(), "tls.key": self[name].private_key_pem.bytes()}
        data = {key: base64.b64encode(blob).decode() for key, blob in pair.items()}
        spec = {"ca": {"secretName": f"{name}-authority"}}
        self._space.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-authority"}, "data": data},
            {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": name}, "spec": spec},
        )

    def own(self, secret: str, by: str) -> None:
        files, headless = Mounted(self._folder / secret), f"raft-headless.{self._space.name}.svc"
        files.put(f"*.{headless}", headless, f"raft.{self._space.name}.svc", by=self[by])
        put_secret(self._space, secret, files)

    def bundle(self, *names: str) -> None:
        pem = b"".join(self[name].cert_pem.bytes() for name in names)
        data = {"ca.crt": base64.b64encode(pem).decode()}
        self._space.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": BUNDLE}, "data": data})

    def show(self, by: str, *, trusting: Sequence[str]) -> None:
        """The client's."""
        self.client.put("somebody", by=self[by], trusted=tuple(self[name] for name in trusting))
        put_secret(self._space, CLIENT, self.client)


@pytest.fixture(scope="module")
def certificates(space: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authorities]:
    made = Authorities(space, tmp_path_factory.mktemp("certificates"))
    with cert_manager_acts(space):
        for issuer in ("first", "second"):
            made.issuer(issuer)
        for secret in (GUIDES, OTHER):
            made.own(secret, by="ours")
        made.show("ours", trusting=["ours"])
        yield made


@pytest.mark.longest
def test_from_the_guides_secret_to_cert_manager(
    raft: Release, secure: SecureDoors, certificates: Authorities, evidence: Path
) -> None:
    """The Secret stays the same, so that no pod is replaced."""
    moves(raft, secure, certificates, evidence, ("ours", own(GUIDES)), ("first", made_by("first")), replaced=False)


@pytest.mark.longest
def test_from_one_issuer_to_another(
    raft: Release, secure: SecureDoors, certificates: Authorities, evidence: Path
) -> None:
    moves(
        raft, secure, certificates, evidence, ("first", made_by("first")), ("second", made_by("second")), replaced=False
    )


@pytest.mark.longest
def test_back_to_a_secret_of_ones_own(
    raft: Release, secure: SecureDoors, certificates: Authorities, evidence: Path
) -> None:
    moves(raft, secure, certificates, evidence, ("second", made_by("second")), ("ours", own(OTHER)), replaced=True)


@pytest.mark.longest
def test_from_any_other_secret_to_cert_manager(
    raft: Release, secure: SecureDoors, certificates: Authorities, evidence: Path
) -> None:
    """Which makes its own while the pods are replaced: the Job that looks before it shows what there is."""
    raft.namespace.kubectl("delete", "secret", GUIDES)
    moves(raft, secure, certificates, evidence, ("ours", own(OTHER)), ("first", made_by("first")), replaced=True)


def moves(
    raft: Release,
    secure: SecureDoors,
    certificates: Authorities,
    evidence: Path,
    before: tuple[str, tuple[str, ...]],
    after: tuple[str, tuple[str, ...]],
    *,
    replaced: bool,
) -> None:
    """From one authority, and the values that its certificates come by, to another."""
    (old, of_old), (new, of_new) = before, after
    raft.healthy()
    with load(raft, evidence, secret=CLIENT) as running:
        untouched = uids(raft)
        said = refusal(lambda: raft.upgrade(*of_new))
        assert "one step after the other" in said or "Refused, and nothing was changed" in said, said
        assert uids(raft) == untouched
        begun = raft.now()
        certificates.bundle(old, new)
        raft.upgrade(*of_old, *BOTH)  # 1: all trust both
        certificates.show(old, trusting=[old, new])
        running.takes_up(certificates.client)
        before_it = uids(raft)
        raft.upgrade(*of_new, *BOTH)  # 2: others are shown
        until(f"all show what {new} signed", partial(all_show, raft, secure, certificates[new]), TAKEN_SECONDS_MAX, 1.0)
        assert (uids(raft) != before_it) is replaced
        running.more_acknowledged(WRITES_BETWEEN)
        certificates.show(new, trusting=[old, new])
        running.takes_up(certificates.client)
        raft.upgrade(*of_new)  # 3: the new one alone
        certificates.show(new, trusting=[new])
        running.takes_up(certificates.client)
        running.more_acknowledged(WRITES_BETWEEN)
        figure(f"from {of_old[-1]} to {of_new[-1]}: all steps took", raft.now() - begun, "s")
        lines = running.stop()
    raft.healthy()
    assert "Succeeded" in raft.namespace.helm("test", raft.name, "--timeout=120s", timeout_s=150)
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    assert not bad, bad[:5]
    nothing_is_lost(raft, lines)
    figure("another authority: acknowledged writes", sum(line["op"] == "put" for line in lines))
    figure("another authority: longest stall", longest_stall_s(lines), "s")


def all_show(raft: Release, secure: SecureDoors, by: trustme.CA) -> bool:
    looked_at(raft, f"--selector={raft.selector}")
    try:
        return all(_signed(secure, node, by) for node in raft.nodes)
    except OSError:  # a way in ended with its pod
        secure.close()
        return False


def _signed(secure: SecureDoors, node: str, by: trustme.CA) -> bool:
    context = secure.certificates.context()
    context.verify_mode = ssl.CERT_REQUIRED
    connection = secure.connection(node, context)
    try:
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert() or {}
    finally:
        connection.close()
    authority = ssl.create_default_context(cadata=by.cert_pem.bytes().decode()).get_ca_certs()[0]
    return shown["issuer"] == authority["subject"]
