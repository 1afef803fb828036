"""Every command of etcdctl prints the same of a node as of etcd: output, errors and exit code, in all forms."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.etcd.ctl import Ctl, Said, Step, ctl_program
from tests.etcd.ctl_story import OTHERWISE, STEPS
from tests.etcd.processes import etcd_program, running_etcd, running_node
from tests.etcd.record import recorded_ctl

RECORDED_WITH = "etcdctl version: 3.6.8"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def program() -> str:
    """etcdctl, or a skipped test."""
    found = ctl_program()
    if found is None:
        pytest.skip("no etcdctl: put that of etcd 3.6 on PATH, or name it in ETCDCTL")
    return found


def differences(
    etcd: list[list[Said]],
    own: list[list[Said]],
    steps: Sequence[Step] = STEPS,
    otherwise: Mapping[str, tuple[str, str]] = OTHERWISE,
) -> list[str]:
    """What is told otherwise and should not be, or should be and is not."""
    found = []
    for step, expected, told in zip(steps, etcd, own, strict=True):
        if step.line in otherwise:
            _, words = otherwise[step.line]
            if told == expected or not all(said.code and words in said.errors for said in told):
                found.append(f"{step.line}: should fail with {words!r}\nhere: {told}")
        elif told != expected:
            found.append(f"{step}\netcd: {expected}\nhere: {told}")
    return found


def test_etcdctl_prints_of_a_node_what_it_printed_of_etcd(program: str, tmp_path: Path) -> None:
    version = subprocess.run([program, "version"], capture_output=True, text=True, timeout=20).stdout
    if not version.startswith(RECORDED_WITH):
        pytest.skip(f"what was recorded is of {RECORDED_WITH!r}, and this is another")
    with running_node(tmp_path) as port:
        ctl = Ctl(program, port, tmp_path)
        found = differences(recorded_ctl(), [ctl.said(step) for step in STEPS])
    assert not found, f"{len(found)} of {len(STEPS)}\n" + "\n\n".join(found[:10])


@pytest.mark.slowest
def test_etcdctl_prints_of_a_node_what_it_prints_of_etcd(program: str, tmp_path: Path) -> None:
    etcd_folder, own_folder = tmp_path / "a", tmp_path / "b"
    etcd_folder.mkdir()
    own_folder.mkdir()
    etcd = etcd_program()
    if etcd is None:
        pytest.skip("no etcd: put etcd 3.6 on PATH, or name it in ETCD")
    with running_etcd(etcd, etcd_folder) as port, running_node(own_folder) as own_port:
        reference, own = Ctl(program, port, etcd_folder), Ctl(program, own_port, own_folder)
        found = differences([reference.said(step) for step in STEPS], [own.said(step) for step in STEPS])
    assert not found, f"{len(found)} of {len(STEPS)}\n" + "\n\n".join(found[:10])


def test_the_walk_reaches_every_command() -> None:
    """But for those that last a minute or have a test of their own."""
    told = [said for saids in recorded_ctl() for said in saids]
    assert len(told) > 200
    assert {said.code for said in told} >= {0, 1, 128}
    assert sum(said.code == 0 for said in told) > len(told) // 2
