"""The chart deployed by a real Argo CD, as docs/operations.md says: what differs, what its hooks do and refuse, how
pods come and go by a commit, and what healing by itself puts back. `make argo-cd` builds it."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.applications import Application, Repository, differing, hooks, logs
from tests.kubernetes.argo_cd import argo_cd, argo_folder, kinds
from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import FOLDER, figure
from tests.kubernetes.guarding import away, uids
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.loading import load
from tests.kubernetes.release import CHART, IMAGE_VARIABLE, Release
from tests.kubernetes.secure import token_new
from tests.kubernetes.test_scale import FIVE, judge, let_in, one_at_a_time, voters
from tests.kubernetes.watching import Journals, journals, pod_watch

pytestmark = pytest.mark.timeout(900)

OVERRIDE = "in Argo CD a sync of selected resources"
NODES = {"group": "apps", "kind": "StatefulSet", "name": "raft"}
SCALED_SECONDS_MAX = 240.0
HEALED_SECONDS_MAX = 90.0
RETRIED_SECONDS_MAX = 300.0
WRITES = 50
SETTING = "RAFT_TRACE_MESSAGES"
NARROWED = [{"key": "statefulset.kubernetes.io/pod-name", "operator": "NotIn", "values": ["raft-7"]}]
"""What a partition of raft-chaos adds to the selector of the chart's policy; of a pod that is not there."""


@pytest.fixture(scope="module")
def repository(space: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """What Argo CD deploys; it runs."""
    folder = argo_folder()
    output = FOLDER / "argo-cd"
    with kinds(folder), argo_cd(folder, space, output):
        yield Repository(tmp_path_factory.mktemp("repository") / "git", CHART)


@pytest.fixture(scope="module")
def application(space: Namespace, repository: Repository) -> Application:
    """Known to Argo CD, and nothing of it deployed yet."""
    repository.commit(values())
    return Application(space, "raft", repository)


@pytest.fixture(scope="module")
def raft(application: Application, space: Namespace, proxy: Proxy) -> Release:
    """Looked at from outside, whatever deploys it."""
    return Release(space, application.name, proxy)


def values(**more: Any) -> dict[str, Any]:
    """Of the chart, with the image under test."""
    repository, _, tag = os.environ[IMAGE_VARIABLE].rpartition(":")
    proxy_and_load = [{"ipBlock": {"cidr": "0.0.0.0/0"}}]  # the API server's proxy comes from a machine
    policies = {"enabled": True, "clients": proxy_and_load}
    return {"image": {"repository": repository, "tag": tag}, "networkPolicy": policies, **more}


def traced(messages: int, **more: Any) -> dict[str, Any]:
    """With a setting that rolls every pod where it changes."""
    return values(settings={"trace_messages": messages}, **more)


def settings_of(raft: Release) -> set[str]:
    """What the pods have of that setting."""
    containers = [pod["spec"]["containers"][0] for pod in raft.pods().values()]
    return {one["value"] for container in containers for one in container["env"] if one["name"] == SETTING}


def ran(state: Mapping[str, Any]) -> dict[str, str]:
    """Of a sync that succeeded: what its hooks came to."""
    assert state["phase"] == "Succeeded", state
    return {when: phase for when, (_, phase) in hooks(state).items()}


BOTH = {"PreSync": "Succeeded", "Sync": "Succeeded"}


def followed(journal: Journals, what: str, holds: Callable[[], bool]) -> None:
    """Wait until it holds; what processes that come meanwhile say is kept."""

    def looked() -> bool:
        journal.follow()
        return holds()

    until(what, looked, SCALED_SECONDS_MAX)


def test_a_first_sync_makes_a_cluster_and_nothing_differs_afterwards(
    application: Application, repository: Repository, raft: Release
) -> None:
    begun = raft.now()
    revision = repository.commit(values())
    assert ran(application.sync(revision)) == BOTH
    figure("Argo CD: a first sync is over after", raft.now() - begun, "s")
    application.settled(revision)
    figure("Argo CD: Synced and Healthy after", raft.now() - begun, "s")
    raft.healthy()
    before = uids(raft)
    for _ in range(2):
        assert differing(application.refreshed()) == []
        assert ran(application.sync(revision)) == BOTH, "a sync of what is there already"
    assert differing(application.refreshed()) == []
    assert uids(raft) == before
    left = raft.namespace.get("jobs,pods", "--selector=app.kubernetes.io/component in (members,test)")["items"]
    assert left == [], "a Job that succeeded is gone, and the test of Helm is not run"


@pytest.mark.longest
def test_all_that_a_first_sync_itself_makes_is_missed_by_no_hook(
    space: Namespace, repository: Repository, raft: Release, proxy: Proxy
) -> None:
    """Secrets of the same application, and whatever of the chart needs no other program in the cluster."""
    token, line = token_new("chart", "write", "operate")
    tokens = {"alone-lines": {"tokens": f"{line}\n"}, "alone-chart": {"write": token, "operate": token}}
    secrets = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        for name, data in tokens.items()
    ]
    own = Repository(repository.folder.with_name("alone"), CHART)
    revision = own.commit(
        values(
            replicaCount=1,
            extraObjects=secrets,
            auth={"existingSecret": "alone-lines", "clientsSecret": "alone-chart"},
            fullnameOverride="alone",
            admissionPolicy={"enabled": True},
            backup={"enabled": True, "bucket": "s3://backups/alone/"},
            objectStorage={"endpoint": "http://nobody:9000", "existingSecret": "alone-chart"},
            chaos={"rbac": {"create": True, "probes": True, "nodes": True}},
            monitoring={"dashboard": {"enabled": True}},
            service={"grpcPort": 2379},
            persistence={"size": "20480Mi"},  # 20Gi, in other words
            podAnnotations={"a": "b"},
            commonLabels={"team": "storage"},
        )
    )
    alone = Application(space, "alone", own)
    assert ran(alone.sync(revision)) == BOTH
    alone.settled(revision)
    assert differing(alone.refreshed()) == []
    assert ran(alone.sync(revision)) == BOTH, "and with them there, and a node that asks for tokens"
    assert differing(alone.refreshed()) == []
    alone.remove()
    claims = space.get("pvc", "--selector=app.kubernetes.io/instance=alone")["items"]
    assert [one["metadata"]["name"] for one in claims] == ["data-alone-0"], "its data stays"
    space.kubectl("delete", "pvc", "data-alone-0", "--wait=false")


def test_a_changed_setting_rolls_one_pod_at_a_time_and_no_write_is_lost(
    application: Application, repository: Repository, raft: Release, evidence: Path
) -> None:
    raft.healthy()
    before = uids(raft)
    revision = repository.commit(traced(2048))
    with journals(raft, evidence) as journal, pod_watch(raft, evidence) as watch, load(raft, evidence) as running:
        running.more_acknowledged(WRITES)
        assert ran(application.sync(revision, journal.follow)) == BOTH
        followed(journal, "every pod has it", lambda: settings_of(raft) == {"2048"})
        raft.healthy()
        running.more_acknowledged(WRITES)
        lines, seen = running.stop(), watch.seen()
    assert set(before.values()).isdisjoint(uids(raft).values()), "every pod is another one"
    assert seen.most_away == 1, "one pod at a time"
    journal.one_leader_a_term()
    judge(raft, lines, "a sync of Argo CD that rolls all pods")
    application.settled(revision)


def test_a_sync_is_refused_while_a_voter_is_away_but_for_selected_resources(
    application: Application, repository: Repository, raft: Release
) -> None:
    raft.healthy()
    before = uids(raft)
    # Nothing rolls by it, so that going on all the same costs nobody the majority here
    revision = repository.commit(traced(1024, updateStrategy={"partition": 3}))
    with away(raft, "raft-0"):
        generation = raft.namespace.get("statefulset", "raft")["metadata"]["generation"]
        begun = raft.now()
        refused = application.sync(revision)
        figure("Argo CD: a sync is refused after", raft.now() - begun, "s")
        assert refused["phase"] == "Failed", refused
        assert hooks(refused).keys() == {"PreSync"}, "nothing else was begun"
        job, phase = hooks(refused)["PreSync"]
        assert phase == "Failed"
        for said in (logs(raft.namespace, job), message_of(raft.namespace, job)):
            assert "Refused, and nothing was changed: raft-0 is not ready" in said
            assert OVERRIDE in said
        assert raft.namespace.get("statefulset", "raft")["metadata"]["generation"] == generation
        assert "StatefulSet raft: OutOfSync" in differing(application.refreshed())

        chosen = application.sync(revision, resources=[NODES])
        assert ran(chosen) == {}, "no hook ran"
        assert raft.namespace.get("statefulset", "raft")["metadata"]["generation"] > generation
        applied = application.sync(revision, syncStrategy={"apply": {}})
        assert ran(applied) == {}, "no hook ran"
        assert uids(raft) == before
    raft.healthy()
    revision = repository.commit(traced(1024))
    assert ran(application.sync(revision)) == BOTH
    application.settled(revision)
    assert settings_of(raft) == {"1024"}


def message_of(space: Namespace, job: str) -> str:
    """The last words of a Job's pod, which Argo CD shows with it."""
    [pod] = space.get("pods", f"--selector=job-name={job}")["items"]
    return str(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])


def test_five_and_back_to_three_by_a_commit_under_load(
    application: Application, repository: Repository, raft: Release, evidence: Path
) -> None:
    raft.healthy()

    def scaled(nodes: int) -> list[str]:
        """Which changes of members it took."""
        before, begun = len(one_at_a_time(journal)), raft.now()
        expected = sum(2 if nodes == 5 else 1 for _ in FIVE[3:])
        raft.nodes = FIVE[:nodes]
        revision = repository.commit(traced(1024, replicaCount=nodes))
        assert ran(application.sync(revision, journal.follow)) == BOTH
        assert voters(raft) == raft.nodes, "the sync is over once the members are these"
        figure(f"Argo CD: a sync to {nodes} replicas is over after", raft.now() - begun, "s")
        followed(journal, f"{nodes} pods", lambda: sorted(raft.pods()) == raft.nodes)
        raft.healthy()
        application.settled(revision)
        journal.wait_for("members", before + expected)
        return one_at_a_time(journal)[before:]

    with journals(raft, evidence) as journal, load(raft, evidence) as running:
        running.more_acknowledged(WRITES)
        came = scaled(5)
        assert let_in(FIVE[3:], came), came
        running.more_acknowledged(WRITES)
        went = scaled(3)
        assert sorted(went) == ["raft-3 is no member", "raft-4 is no member"], went
        running.more_acknowledged(WRITES)
        lines = running.stop()
    judge(raft, lines, "three to five to three by Argo CD")


@pytest.fixture
def automated(application: Application) -> Iterator[Application]:
    """It syncs by itself, and puts back what others change."""
    application.patch({"spec": {"syncPolicy": {"automated": {"selfHeal": True, "prune": True}}}})
    yield application
    application.patch({"spec": {"syncPolicy": None}})


def healed(application: Application, since: str) -> dict[str, Any] | None:
    """The last sync, where Argo CD began it by itself, after that time, and it succeeded."""
    state: dict[str, Any] = application.status().get("operationState", {})
    own = state.get("operation", {}).get("initiatedBy", {}).get("automated")
    done = state.get("phase") == "Succeeded" and state["finishedAt"] > since
    return state if own and done else None


@pytest.mark.longest
def test_what_others_change_is_put_back_without_the_jobs_and_what_kubernetes_does_is_left(
    automated: Application, repository: Repository, raft: Release
) -> None:
    raft.healthy()
    before, last = uids(raft), automated.status()["operationState"]["finishedAt"]
    raft.namespace.kubectl("scale", "statefulset", "raft", "--replicas=5")
    begun = raft.now()
    state = until("a sync by itself", lambda: healed(automated, last), HEALED_SECONDS_MAX, 1.0)
    figure("Argo CD: a scale is put back after", raft.now() - begun, "s")
    assert ran(state) == {}, "it syncs what differs alone, and selected resources run no hooks"
    assert NODES in state["operation"]["sync"]["resources"]
    until("three pods", lambda: sorted(raft.pods()) == raft.nodes, SCALED_SECONDS_MAX)
    raft.healthy()
    assert uids(raft) == before
    assert voters(raft) == raft.nodes

    for added in (NARROWED, None):
        patch = json.dumps({"spec": {"podSelector": {"matchExpressions": added}}})
        raft.namespace.kubectl("patch", "networkpolicy", "raft-peers", "--type=merge", f"--patch={patch}")
        assert differing(automated.refreshed()) == [], "what is added to a selector is no difference either"
    raft.namespace.kubectl("rollout", "restart", "statefulset/raft")
    raft.healthy()
    assert set(before.values()).isdisjoint(uids(raft).values())
    assert differing(automated.refreshed()) == [], "a restart is no difference, and is not undone"


@pytest.mark.longest
def test_an_automated_sync_that_was_refused_goes_on_once_the_voter_is_back(
    automated: Application, repository: Repository, raft: Release
) -> None:
    raft.healthy()
    before = uids(raft)
    last = automated.status()["operationState"]["finishedAt"]
    with away(raft, "raft-0"):
        revision = repository.commit(traced(4096))
        automated.refreshed()
        until("it is refused and will be tried again", retrying(automated), RETRIED_SECONDS_MAX, 1.0)
        assert uids(raft) == before
    state = until("it is tried again", lambda: healed(automated, last), RETRIED_SECONDS_MAX, 1.0)
    assert ran(state) == BOTH
    assert state["retryCount"] >= 1
    automated.settled(revision)
    assert settings_of(raft) == {"4096"}


def retrying(application: Application) -> Callable[[], bool]:
    return lambda: "Retrying attempt #" in application.status().get("operationState", {}).get("message", "")


def test_where_the_application_is_deleted_pods_go_and_data_stays(application: Application, raft: Release) -> None:
    application.remove()
    assert raft.pods() == {}
    claims = raft.namespace.get("pvc", f"--selector=app.kubernetes.io/instance={raft.name}")["items"]
    assert [one["metadata"]["name"] for one in claims] == [f"data-{node}" for node in FIVE]


@pytest.fixture
def by_label(space: Namespace, repository: Repository) -> Iterator[None]:
    """By what Argo CD knew before 3.0 whose an object is; the claims of a StatefulSet have that label, too."""
    for method in ("label", None):
        patch = json.dumps({"data": {"application.resourceTrackingMethod": method}})
        space.kubectl("patch", "configmap", "argocd-cm", "--type=merge", f"--patch={patch}")
        if method:
            yield


@pytest.mark.longest
def test_where_labels_say_what_belongs_to_it_claims_stay_that_ask_to(
    by_label: None, space: Namespace, repository: Repository
) -> None:
    own = Repository(repository.folder.with_name("labelled"), CHART)
    kept = {"argocd.argoproj.io/sync-options": "Delete=false"}
    revision = own.commit(values(replicaCount=1, fullnameOverride="labelled", persistence={"annotations": kept}))
    labelled = Application(space, "labelled", own)
    assert ran(labelled.sync(revision)) == BOTH
    labelled.settled(revision)
    assert differing(labelled.refreshed()) == [], "and no claim, which no commit has made"
    labelled.remove()
    claims = space.get("pvc", "--selector=app.kubernetes.io/instance=labelled")["items"]
    assert [one["metadata"]["name"] for one in claims] == ["data-labelled-0"]
