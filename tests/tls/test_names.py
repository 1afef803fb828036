"""Which certificate proves which member."""

import pytest

from node.tls.names import proof_of, proves, told

PODS = {f"raft-{n}": f"raft-{n}.raft-headless.ops.svc" for n in range(3)}
MACHINES = {"n1": "alpha.example", "n2": "10.0.0.2", "n3": "fd00::3"}
ONE_MACHINE = {"n1": "127.0.0.1", "n2": "127.0.0.1"}


def certificate(*names: str) -> dict[str, object]:
    kinds = {True: "IP Address", False: "DNS"}
    return {"subjectAltName": tuple((kinds[name[0].isdigit() or ":" in name], name) for name in names)}


@pytest.mark.parametrize(
    ("name", "hosts", "names", "holds"),
    [
        ("n1", {}, ("n1",), True),
        ("n1", {}, ("N1",), True),
        ("n1", {}, ("n2",), False),
        ("n1", {}, (), False),
        ("n1", {}, ("*",), False),
        ("n1", MACHINES, ("alpha.example",), True),
        ("n1", MACHINES, ("*.example",), False),  # a wildcard below a domain of one label names the world
        ("n1", MACHINES, ("10.0.0.2",), False),
        ("n2", MACHINES, ("10.0.0.2",), True),
        ("n2", MACHINES, ("alpha.example",), False),
        ("n3", MACHINES, ("FD00:0:0:0:0:0:0:3",), True),
        ("n1", ONE_MACHINE, ("127.0.0.1",), False),  # it would prove either
        ("n1", ONE_MACHINE, ("127.0.0.1", "n1"), True),
        ("raft-0", PODS, ("raft-0.raft-headless.ops.svc",), True),
        ("raft-0", PODS, ("*.raft-headless.ops.svc",), True),
        ("raft-0", PODS, ("raft-1.raft-headless.ops.svc",), False),
        ("raft-0", PODS, ("*.raft-headless.dev.svc",), False),
        ("raft-0", PODS, ("*.ops.svc",), False),  # for one label alone
        ("raft-7", PODS, ("*.raft-headless.ops.svc",), True),  # it is not known yet, but where its like are is
        ("raft-7", PODS, ("raft-7.raft-headless.ops.svc",), True),
        ("raft-7", PODS, ("raft-0.raft-headless.ops.svc",), False),
        ("raft-7", MACHINES, ("*.example",), False),
        ("raft-0", PODS, ("raft-0",), True),
    ],
)
def test_a_certificate_proves_a_name_or_does_not(
    name: str, hosts: dict[str, str], names: tuple[str, ...], holds: bool
) -> None:
    assert proves(certificate(*names), proof_of(name, hosts)) is holds


def test_no_certificate_proves_nothing() -> None:
    assert not proves(None, proof_of("n1", MACHINES))
    assert told(None) == "no name at all"


def test_what_a_certificate_proves_is_told_in_bounded_words() -> None:
    assert told(certificate("n1", "10.0.0.1")) == "n1, 10.0.0.1"
    assert told(certificate(*(f"n{n}" for n in range(9)))) == "n0, n1, n2, n3 and 5 more"
    assert len(told(certificate(*("n" * 250 for _ in range(100))))) < 200
