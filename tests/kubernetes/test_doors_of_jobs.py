"""The Jobs and Pods that the chart runs itself, where clients must show a certificate and a token: they do their work,
and with the wrong ones each ends soon, in one sentence, with nothing changed.

A Job that could not speak to the nodes at all might pass for one that found nobody: what the Jobs did is therefore read
in the nodes' journals, by the name of the chart's own token.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
import yaml

from tests.kubernetes.figures import figure
from tests.kubernetes.guarding import CHANGED, WAITING, away, refusal, uids
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.release import CHART, Release
from tests.kubernetes.secure import (
    ASKED_FOR_TOKENS,
    CLIENT,
    MUTUAL,
    Certificates,
    SecureDoors,
    put_secret,
    put_tokens,
    token_new,
)
from tests.kubernetes.test_keeping import SMALL, TAKING, claim, take
from tests.kubernetes.test_scale import FIVE, voters
from tests.kubernetes.watching import Journals, journals
from tests.tls.certificates import Mounted

__all__ = ["claim"]  # a fixture

pytestmark = pytest.mark.timeout(900)

INSTALLED_WITH = (
    *MUTUAL,
    *("--set", f"tls.clients.existingSecret={CLIENT}"),
    *ASKED_FOR_TOKENS,
    *TAKING,
    *SMALL,
    *("--set", "networkPolicy.enabled=true,tests.timeoutSeconds=15"),
)
FOREIGN = "foreign-tls"
REFUSED_SECONDS_MAX = 90.0
"""A guard waits 20 s for what may pass, a Job of the members as long for each of its tries, `helm test` 15 s here; and
a pod has to come first."""
FIT_SECONDS_MAX = 300.0
"""Four tries, with 10, 20 and 40 s between them."""


@pytest.fixture(scope="module")
def certificates(space: Namespace, claim: str, tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """And its token."""
    made = Certificates(space, "raft", tmp_path_factory.mktemp("certificates"))
    made.token = put_tokens(space)
    return made


def test_an_install_has_its_members_counted_and_passes_its_own_test(raft: Release) -> None:
    raft.healthy()
    space = raft.namespace
    of_members = f"--selector=app.kubernetes.io/instance={raft.name},app.kubernetes.io/component=members"
    space.kubectl("wait", "--for=condition=complete", "job", of_members, "--timeout=60s")
    assert "The voters are raft-0, raft-1, raft-2." in space.kubectl("logs", of_members)
    assert "Succeeded" in space.helm("test", raft.name, "--timeout=120s", timeout_s=150)


def test_jobs_let_in_who_comes_and_take_out_who_goes_by_their_token(raft: Release, evidence: Path) -> None:
    raft.healthy()
    with journals(raft, evidence) as journal:
        begun = raft.now()
        raft.nodes = FIVE
        raft.upgrade(*INSTALLED_WITH, "--set", "replicaCount=5", meanwhile=journal.follow)
        until("five voters", lambda: voters(raft) == FIVE, 120)
        raft.healthy()
        figure("with TLS and tokens, from three to five", raft.now() - begun, "s")
        begun = raft.now()
        raft.upgrade(*INSTALLED_WITH, meanwhile=journal.follow)
        raft.nodes = FIVE[:3]
        until("three pods", lambda: sorted(raft.pods()) == raft.nodes, 120)
        raft.healthy()
        figure("with TLS and tokens, from five to three", raft.now() - begun, "s")
        assert voters(raft) == raft.nodes
        for change in ("add_learner", "promote_learner", "remove_member"):
            until(f"{change} by the chart", partial(done_by_the_chart, journal, change, 2), 20)


def done_by_the_chart(journal: Journals, change: str, times: int) -> bool:
    """Whether its token had that done so often."""
    told = [line["detail"] for line in journal.transitions("audit")]
    done = [one for one in told if (one["who"], one["outcome"]) == ("chart", "200")]
    return sum(f"/commands/{change}?" in one["what"] for one in done) == times


def test_an_upgrade_is_guarded_and_both_it_and_a_rollback_go_through_where_all_are_ready(raft: Release) -> None:
    raft.healthy()
    revision = json.loads(raft.namespace.helm("history", raft.name, "--output=json"))[-1]["revision"]
    before = uids(raft)
    with away(raft, "raft-0"):
        assert "raft-0 is not ready" in refusal(lambda: raft.upgrade(*INSTALLED_WITH, *CHANGED))
        assert uids(raft) == before, "nothing was changed"
    raft.healthy()
    raft.upgrade(*INSTALLED_WITH, *CHANGED)
    raft.healthy()
    rolled = uids(raft)
    assert set(rolled.values()).isdisjoint(before.values())
    raft.namespace.helm("rollback", raft.name, str(revision), *WAITING, timeout_s=260)
    raft.healthy()
    assert set(uids(raft).values()).isdisjoint(rolled.values())


def test_a_backup_is_taken_through_the_same_doors(raft: Release, secure: SecureDoors) -> None:
    raft.write(raft.nodes[0], "kept", "1")
    said = take(raft, "take-1")
    assert "/backup/raft-" in said
    assert "1 key at revision" in said
    assert "was not told" not in said, "the cluster heard that there is one"


def test_where_nobody_runs_the_guard_needs_no_secret_to_see_it(raft: Release) -> None:
    """As in a first sync of Argo CD, or with cert-manager: what it is to show is made after it."""
    space = raft.namespace
    nowhere = ("--set", "fullnameOverride=first,tls.existingSecret=nowhere,auth.clientsSecret=nowhere")
    [guard] = rendered(raft, (*INSTALLED_WITH, *nowhere), "guard")
    guard["metadata"] = {"name": "first"}
    space.apply(guard)
    space.kubectl("wait", "--for=condition=complete", "job/first", "--timeout=60s", timeout_s=70)
    assert "Nobody runs: there is no quorum to be lost." in space.kubectl("logs", "job/first")


class Wrong(NamedTuple):
    """`values`: flags of Helm. `said`: how each ends; empty: it waits, as the nodes of such a release would."""

    values: str
    guard: str
    fit: str
    backup: str
    test: str


def alike(values: str, said: str) -> Wrong:
    """All say the same."""
    return Wrong(values, said, said, said, said)


NOBODYS = "nobody has this token"
NO_TOKEN = "/etc/raft/token/token cannot be read (No such file or directory)"
OF_ANOTHER = "(tlsv1 alert unknown ca): /etc/raft/tls/tls.crt must be of an authority that it trusts"
NOT_TRUSTED = (
    "(self-signed certificate in certificate chain): /etc/raft/tls/ca.crt must hold the authority that signed it"
)
NO_CERTIFICATE = "/etc/raft/tls/tls.crt is not there"
WRONGS = {
    "a token that nobody has": alike("auth.clientsSecret=wrong-tokens", NOBODYS),
    "no token": alike("auth.clientsSecret=nowhere", NO_TOKEN),
    "a certificate of another authority": Wrong(
        f"tls.clients.existingSecret={FOREIGN}", OF_ANOTHER, OF_ANOTHER, OF_ANOTHER, "alert unknown ca"
    ),
    "another authority to trust": Wrong(
        f"tls.existingSecret={FOREIGN}",
        NOT_TRUSTED,
        NOT_TRUSTED,
        NOT_TRUSTED,
        "self-signed certificate in certificate chain",
    ),
    "no certificate": Wrong(
        "tls.clients.existingSecret=nowhere", NO_CERTIFICATE, "", NO_CERTIFICATE, "/etc/raft/tls/tls.crt is of no use"
    ),
}
IN_ALL = {
    "test_with_the_wrong_ones_each_ends_soon_with_one_sentence_and_nothing_is_changed": {
        *("no token", "another authority to trust", "no certificate")
    }
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_with_the_wrong_ones_each_ends_soon_with_one_sentence_and_nothing_is_changed(
    raft: Release, wrong: str, tmp_path: Path
) -> None:
    raft.healthy()
    case, space = WRONGS[wrong], raft.namespace
    other = Mounted(tmp_path / "other")
    other.put("somebody", by=trustme.CA())
    put_secret(space, FOREIGN, other)
    nobodys, _ = token_new("nobody", "write", "operate")
    tokens = {"write": nobodys, "operate": nobodys}
    space.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong-tokens"}, "stringData": tokens})
    before, begun = uids(raft), raft.now()
    flags = (*INSTALLED_WITH, "--set", case.values)
    once = wrong != "a token that nobody has"  # one Job of members makes all its tries
    running = started(raft, f"wrong-{list(WRONGS).index(wrong)}", flags, case, once)
    refused = refusal(lambda: raft.upgrade(*flags, *CHANGED))
    figure(f"{wrong}: the upgrade is refused after", raft.now() - begun, "s")
    assert case.guard in refused
    assert "Traceback" not in refused
    assert raft.now() - begun < REFUSED_SECONDS_MAX
    for name, said in running.items():
        logs = until(f"{name} has ended", partial(ended, space, name), REFUSED_SECONDS_MAX if once else FIT_SECONDS_MAX)
        assert said in logs.splitlines()[-1], logs
        assert "Traceback" not in logs
    figure(f"{wrong}: the last Job has ended after", raft.now() - begun, "s")
    assert uids(raft) == before
    space.kubectl("delete", "job,pod", "--selector=wrong", "--wait=false")
    raft.write(raft.nodes[1], "after", wrong)


def rendered(raft: Release, flags: tuple[str, ...], file: str) -> list[dict[str, Any]]:
    """What the chart makes of this template, hooks too."""
    words = ("template", raft.name, str(CHART), *raft.values, *flags, "--show-only", f"templates/{file}.yaml")
    return [made for made in yaml.safe_load_all(raft.namespace.helm(*words)) if made]


def started(raft: Release, called: str, flags: tuple[str, ...], case: Wrong, once: bool) -> dict[str, str]:
    """What the chart makes of `flags` beside the nodes and the guard, by name: the sentence that each is to end with.
    `once`: a Job makes one try."""
    said = {"members": case.fit, "backup": case.backup, "tests/write-and-read": case.test}
    found: list[dict[str, Any]] = []
    sentences: dict[str, str] = {}
    for file in filter(said.get, said):
        [made] = rendered(raft, flags, file)
        if made["kind"] == "CronJob":
            made = {"apiVersion": "batch/v1", "kind": "Job", **made["spec"]["jobTemplate"]}
        name = f"{called}-{len(found)}"
        made["metadata"] = {"name": name, "labels": {"wrong": "yes", "of": name}}
        if made["kind"] == "Job":
            made["spec"]["template"]["metadata"]["labels"]["of"] = name
            made["spec"]["backoffLimit"] = 0 if once else made["spec"]["backoffLimit"]
        found.append(made)
        sentences[name] = said[file]
    raft.namespace.apply(*found)
    return sentences


def ended(space: Namespace, name: str) -> str | None:
    """What the last pod of that Job, or that Pod, said, once it has failed for good."""
    pods = space.get("pods", f"--selector=of={name}")["items"]
    jobs = space.get("jobs", f"--field-selector=metadata.name={name}")["items"]
    if jobs:
        failed = any(
            (one["type"], one["status"]) == ("Failed", "True") for one in jobs[0]["status"].get("conditions", [])
        )
    else:
        failed = bool(pods) and pods[0]["status"]["phase"] == "Failed"
    if not failed:
        return None
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return space.kubectl("logs", newest["metadata"]["name"]).strip()
