"""Users, roles and permissions are to clients of etcd what they are there: everything that etcdctl prints, and every
answer in JSON, to whoever may, may not, or does not say who they are."""

import subprocess
from pathlib import Path

import pytest

from tests.etcd import auth_story
from tests.etcd.comparison import Answer
from tests.etcd.ctl import Ctl
from tests.etcd.processes import etcd_program, running_etcd, running_node
from tests.etcd.record import recorded_auth, recorded_auth_ctl
from tests.etcd.test_etcdctl_walk import RECORDED_WITH, differences, program

__all__ = ["program"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def judged(etcd: list[Answer], own: list[Answer]) -> None:
    found = [
        f"{asked}\netcd: {expected}\nhere: {told}"
        for asked, expected, told in zip(auth_story.requests(), etcd, own, strict=True)
        if told != expected
    ]
    assert not found, f"{len(found)} of {len(etcd)}\n" + "\n\n".join(found[:10])


def test_a_node_answers_in_json_as_etcd_did(tmp_path: Path) -> None:
    with running_node(tmp_path) as port:
        judged(recorded_auth(), list(auth_story.answers(port)))


def test_etcdctl_prints_of_users_what_it_printed_of_etcds(program: str, tmp_path: Path) -> None:
    version = subprocess.run([program, "version"], capture_output=True, text=True, timeout=20).stdout
    if not version.startswith(RECORDED_WITH):
        pytest.skip(f"what was recorded is of {RECORDED_WITH!r}, and this is another")
    with running_node(tmp_path) as port:
        ctl = Ctl(program, port, tmp_path)
        own = [ctl.said(step) for step in auth_story.STEPS]
    found = differences(recorded_auth_ctl(), own, auth_story.STEPS, auth_story.OTHERWISE)
    assert not found, f"{len(found)} of {len(auth_story.STEPS)}\n" + "\n\n".join(found[:10])


@pytest.mark.slowest
def test_both_say_the_same_now(program: str, tmp_path: Path) -> None:
    etcd = etcd_program()
    if etcd is None:
        pytest.skip("no etcd: put etcd 3.6 on PATH, or name it in ETCD")
    for name in "abcd":
        (tmp_path / name).mkdir()
    with running_etcd(etcd, tmp_path / "a") as port, running_node(tmp_path / "b") as own_port:
        judged(list(auth_story.answers(port)), list(auth_story.answers(own_port)))
    with running_etcd(etcd, tmp_path / "c") as port, running_node(tmp_path / "d") as own_port:
        reference, own = Ctl(program, port, tmp_path / "c"), Ctl(program, own_port, tmp_path / "d")
        said = [(reference.said(step), own.said(step)) for step in auth_story.STEPS]
    found = differences(
        [etcds for etcds, _ in said], [ours for _, ours in said], auth_story.STEPS, auth_story.OTHERWISE
    )
    assert not found, f"{len(found)} of {len(auth_story.STEPS)}\n" + "\n\n".join(found[:10])


def test_the_walk_reaches_every_command_about_users() -> None:
    told = [said for saids in recorded_auth_ctl() for said in saids]
    assert len(told) > 200
    assert sum(said.code == 0 for said in told) > len(told) // 3
    words = {" ".join(step.line.split()[:2]) for step in auth_story.STEPS}
    assert words >= {
        *("auth enable", "auth disable", "auth status", "user add", "user get", "user list", "user grant-role"),
        *("user revoke-role", "user delete", "user passwd", "role add", "role get", "role list"),
        *("role grant-permission", "role revoke-permission"),
    }
