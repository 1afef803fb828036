"""`doctor` names what this account may not do, and asks for no right that is not needed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from chaos.targets.kubernetes.account import open_account
from chaos.targets.kubernetes.api import Api
from chaos.targets.kubernetes.permissions import THE_SWITCH, reviewed
from chaos.targets.kubernetes.release import release_of
from tests.chaos.fake_apiserver import FakeApiServer, fake_apiserver
from tests.chaos.test_kubernetes_way_in import stateful_set

ACCOUNT = "/api/v1/namespaces/home/serviceaccounts/raft-chaos"


class Rights:
    """`user`: who asks. `denied`: ("verb", "resource") of what it may not do. `narrow`: by verb and resource with its
    subresource, to which objects alone it may do that."""

    def __init__(self) -> None:
        self.user = "kubernetes-admin"
        self.denied: set[tuple[str, str]] = set()
        self.narrow: dict[tuple[str, str], set[str]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["kind"] == "SelfSubjectReview":
            return web.json_response({"status": {"userInfo": {"username": self.user}}}, status=201)
        asked = body["spec"]["resourceAttributes"]
        may = (asked["verb"], asked["resource"]) not in self.denied
        full = "/".join(part for part in (asked["resource"], asked["subresource"]) if part)
        names = self.narrow.get((asked["verb"], full))
        may = may and (names is None or asked.get("name") in names)
        return web.json_response({"status": {"allowed": may}}, status=201)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    async with fake_apiserver() as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


async def said(server: FakeApiServer, rights: Rights, about: str) -> str:
    server.made_by = rights.answer
    api = Api(await open_account(None))
    try:
        found, _, _ = await reviewed(api, release_of("fake", stateful_set()))
    finally:
        await api.close()
    (sentence,) = [f"{one.level}: {one.sentence}" for one in found if one.sentence.startswith(f"{about}:")]
    return sentence


async def said_of_the_switch(server: FakeApiServer, rights: Rights) -> str:
    return await said(server, rights, THE_SWITCH)


@pytest.mark.parametrize(
    "missing",
    [("create", "serviceaccounts"), ("create", "roles"), ("create", "rolebindings"), ("patch", "jobs")],
    ids=lambda one: one[1],
)
async def test_where_an_account_has_to_be_made_for_the_switch_every_right_that_it_takes_is_asked_for(
    server: FakeApiServer, missing: tuple[str, str]
) -> None:
    rights = Rights()
    allowed = f"ok: {THE_SWITCH}: allowed in namespace home."
    assert await said_of_the_switch(server, rights) == allowed
    rights.denied = {missing}
    assert await said_of_the_switch(server, rights) == (
        f"error: {THE_SWITCH}: not allowed in namespace home: {' '.join(missing)}; "
        "the chart installs an account for it, so that none has to be made (chaos.rbac.create=true)."
    )
    server.put(ACCOUNT, {"metadata": {"name": "raft-chaos"}})
    assert await said_of_the_switch(server, rights) == allowed


async def test_an_account_of_the_namespace_needs_no_other_for_the_switch_but_its_jobs(server: FakeApiServer) -> None:
    rights = Rights()
    rights.user = "system:serviceaccount:home:raft-chaos"
    rights.denied = {("create", "serviceaccounts"), ("create", "jobs")}
    assert await said_of_the_switch(server, rights) == (
        f"error: {THE_SWITCH}: not allowed in namespace home: create jobs; "
        "the chart's Role has it (chaos.rbac.create=true)."
    )


NODES = {"raft-0", "raft-1", "raft-2"}
FAULT = "kill-leader --mode sigkill"


async def test_a_role_that_names_the_pods_of_the_release_is_enough(server: FakeApiServer) -> None:
    rights = Rights()
    rights.narrow = {
        **{(verb, f"pods/{way}"): NODES for verb in ("get", "create") for way in ("exec", "portforward")},
        **{(verb, "leases"): {"raft-chaos-raft"} for verb in ("get", "update", "delete")},
        ("patch", "networkpolicies"): {"raft-peers", "raft-servers"},
        ("get", "pods"): NODES,
        ("delete", "pods"): NODES,
    }
    for about in ("status", "any fault", "kill-leader --mode delete", FAULT, "pause", "partition"):
        assert await said(server, rights, about) == f"ok: {about}: allowed in namespace home."


async def test_a_role_that_names_other_pods_is_told_with_those_that_it_lacks(server: FakeApiServer) -> None:
    rights = Rights()
    rights.narrow = {("create", "pods/exec"): {"raft-0"}, ("get", "pods/exec"): {"other-0"}}
    assert await said(server, rights, FAULT) == (
        f"error: {FAULT}: not allowed in namespace home: get pods/exec, create pods/exec raft-1 raft-2; "
        "the chart's Role has it (chaos.rbac.create=true)."
    )
    rights.narrow = {("update", "leases"): {"raft-chaos-other"}}
    assert "update leases;" in await said(server, rights, "any fault")
