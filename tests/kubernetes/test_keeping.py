"""What must not be lost comes back: a backup by the CronJob, all volumes gone, an install that begins with it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import Namespace, run, until
from tests.kubernetes.release import Release

CLAIM = "backups"
TAKING = ("--set", f"backup.enabled=true,backup.claim={CLAIM},backup.keep=2")
SMALL = ("--set", "resources.requests.memory=64Mi")
"""All pods of a restore mount one claim, which is one machine's here."""
KEYS = 300
METRIC = "raft_backup_last_success_timestamp_seconds"
GROWING = "raft-test-growing"


@pytest.fixture(scope="module")
def claim(space: Namespace) -> str:
    """A claim for backups, which outlives releases."""
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    space.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": wanted})
    return CLAIM


@pytest.fixture
def kept(claim: str, space: Namespace, proxy: Proxy) -> Iterator[Release]:
    made = Release(space, "raft", proxy)
    try:
        made.install(*TAKING, *SMALL)
        yield made
    finally:
        made.remove()


def take(release: Release, name: str) -> str:
    """Run the CronJob's Job now; what it said."""
    space = release.namespace
    space.kubectl("create", "job", f"--from=cronjob/{release.fullname}-backup", name)
    space.kubectl("wait", "--for=condition=complete", f"job/{name}", "--timeout=120s", timeout_s=130)
    return space.kubectl("logs", f"job/{name}")


def metric(release: Release, proxy: Proxy, node: str) -> float:
    """The last backup that this pod knows of; 0: none."""
    answer = proxy.ask(release.namespace.name, node, "/metrics")
    lines = answer.body.decode().splitlines() if answer is not None else []
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{METRIC} ")), 0.0)


def test_all_volumes_are_lost_and_the_same_names_serve_the_same_keys_again(
    kept: Release, claim: str, space: Namespace, proxy: Proxy
) -> None:
    kept.healthy()
    for number in range(KEYS):
        kept.write(kept.nodes[number % 3], f"key-{number}", str(number))
    assert [metric(kept, proxy, node) for node in kept.nodes] == [0, 0, 0]
    for number in (1, 2, 3):
        said = take(kept, f"take-{number}")
    assert "removed as older than the 2 newest" in said
    file = next(word for word in said.split() if word.endswith(".snap:")).rstrip(":").rpartition("/")[2]
    until("every pod tells of it", lambda: all(metric(kept, proxy, node) for node in kept.nodes), 10)
    old: dict[str, Any] = kept.ask("raft-0", "/status")
    kept.write("raft-0", "after", "lost")
    kept.remove()
    until("no claim of a node is left", lambda: not space.get("pvc", f"--selector={kept.selector}")["items"], 60)

    begun = kept.now()
    kept.install(*TAKING, *SMALL, "--set", f"restore.claim={claim},restore.from={file},restore.token=drill")
    kept.healthy()
    figure("restored at install: ready again after", kept.now() - begun, "s")
    assert kept.value("raft-1", f"key-{KEYS - 1}") == str(KEYS - 1).encode()
    assert kept.value("raft-2", "after") is None
    status: dict[str, Any] = kept.ask("raft-0", "/status")
    assert status["cluster_id"] != old["cluster_id"]
    assert "of the new cluster" in space.kubectl("logs", "raft-0", "--container=restore")
    kept.write("raft-0", "since", "kept")
    a_disk_lost_later_is_not_restored(kept)


def with_a_new_disk(release: Release, node: str) -> None:
    """Delete its claim and its pod; wait until it is a voter again."""
    space = release.namespace
    before: dict[str, Any] = release.ask(node, "/status")
    uid = release.pod(node)["metadata"]["uid"]
    space.kubectl("delete", "pvc", f"data-{node}", "--wait=false")
    space.kubectl("delete", "pod", node, "--wait=false")
    release.new_pod(node, uid)

    def votes_again() -> bool:
        status = release.ask(node, "/status")
        own = status["incarnation"] if status else before["incarnation"]
        return own != before["incarnation"] and own in [one["incarnation"] for one in status["voters"]]

    until(f"{node} is a voter with a disk of its own", votes_again, 90)


def a_disk_lost_later_is_not_restored(kept: Release) -> None:
    space, wiped = kept.namespace, kept.followers()[0]
    with_a_new_disk(kept, wiped)
    assert "asks to be let in" in space.kubectl("logs", wiped, "--container=restore")
    assert kept.value(wiped, "since") == b"kept"


def a_larger_volume_takes_the_place_of_one_that_cannot_grow(release: Release) -> None:
    node = release.followers()[0]
    with_a_new_disk(release, node)
    claim = release.namespace.get("pvc", f"data-{node}")
    assert claim["status"]["capacity"]["storage"] == "8Gi"
    assert release.value(node, "between") == b"2"


@pytest.fixture
def growing() -> Iterator[str]:
    """A storage class like the cluster's own whose claims may grow. Nothing here makes their volumes larger."""
    usual = run("kubectl", "get", "storageclass", "--output=jsonpath={.items[0].provisioner}")
    run("kubectl", "apply", "--filename=-", stdin=f"""
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: {GROWING}}}
provisioner: {usual}
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
""")  # fmt: skip
    yield GROWING
    run("kubectl", "delete", "storageclass", GROWING)


def test_claims_grow_and_the_stateful_set_follows_while_its_pods_run_on(
    growing: str, space: Namespace, proxy: Proxy
) -> None:
    """As docs/operations.md says, *Larger volumes*."""
    release = Release(space, "large", proxy)
    storage = ("--set", f"persistence.storageClass={growing}")
    try:
        release.install(*SMALL, *storage)
        release.healthy()
        release.write(release.nodes[0], "before", "1")
        pods = {name: pod["metadata"]["uid"] for name, pod in release.pods().items()}
        for node in release.nodes:
            patch = '{"spec":{"resources":{"requests":{"storage":"8Gi"}}}}'
            space.kubectl("patch", "pvc", f"data-{node}", f"--patch={patch}")
        with pytest.raises(AssertionError, match="differs from the 4Gi that this release was made with"):
            release.upgrade(*SMALL, *storage, "--set", "persistence.size=8Gi")
        space.kubectl("delete", "statefulset", release.fullname, "--cascade=orphan")
        release.write(release.nodes[1], "between", "2")
        release.upgrade(*SMALL, *storage, "--set", "persistence.size=8Gi")
        release.healthy()
        assert {name: pod["metadata"]["uid"] for name, pod in release.pods().items()} == pods, "no pod was restarted"
        template = space.get("statefulset", release.fullname)["spec"]["volumeClaimTemplates"][0]
        assert template["spec"]["resources"]["requests"]["storage"] == "8Gi"
        assert release.value(release.nodes[2], "between") == b"2"
        a_larger_volume_takes_the_place_of_one_that_cannot_grow(release)
    finally:
        release.remove()
