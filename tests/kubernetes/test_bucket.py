"""Backups in a bucket, as docs/operations.md says: the CronJob's keys come from a Secret, older ones go, another
release begins with one; and a storage that cannot be used fails the Job soon, with a sentence where people look."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.keeping.gateway import BUCKET, KEYS, program
from tests.kubernetes.beside import carried, pod, running
from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.release import Release
from tests.kubernetes.test_keeping import metric, take

STORAGE = "storage"
PORT, SILENT_PORT = 7070, 7071
SECRET = "raft-s3"
KEPT = 2
KEYS_WRITTEN = 300
SILENT = f"""
import socket
listening, held = socket.create_server(("", {SILENT_PORT})), []
while True:
    held.append(listening.accept())
"""
POLICIES = (
    *("--set", "networkPolicy.enabled=true"),
    *("--set-json", f"networkPolicy.servers={json.dumps([{'podSelector': {'matchLabels': {'app': STORAGE}}}])}"),
    *("--set-json", f"networkPolicy.clients={json.dumps([{'ipBlock': {'cidr': '0.0.0.0/0'}}])}"),
)
"""The step that restores runs in the nodes' pods, which may ask nobody but the storage; anybody may be a client."""
FAILED_SECONDS_MAX = 150
"""Three pods one after the other, ten and twenty seconds apart; or one that is given up after a minute."""

Container = dict[str, Any]


@pytest.fixture(scope="module")
def storage(space: Namespace) -> Iterator[str]:
    """A server of S3 in a pod, and beside it one that takes connections and never answers; the name of both."""
    found = program()
    if found is None:
        pytest.skip("no versitygw, a server that speaks S3: `make s3` builds it where Go is")
    ports = [{"name": f"p{port}", "port": port} for port in (PORT, SILENT_PORT)]
    service = {"selector": {"app": STORAGE}, "ports": ports}
    space.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": STORAGE}, "spec": service})
    s3 = carried("s3", "--port", f":{PORT}", "posix", "root", before=f"mkdir -p root/{BUCKET}")
    root = {"ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
    wanted = pod(STORAGE, {"s3": s3, "silent": ("python", "-c", SILENT)}, PORT, environment=root)
    with running(space, wanted, {"s3": Path(found)}):
        put_secret(space, SECRET, KEYS["AWS_SECRET_ACCESS_KEY"])
        yield f"{STORAGE}.{space.name}.svc"


def put_secret(space: Namespace, name: str, key: str) -> None:
    literals = {"AWS_ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"], "AWS_SECRET_ACCESS_KEY": key}
    words = [f"--from-literal={name}={value}" for name, value in literals.items()]
    space.kubectl("create", "secret", "generic", name, *words)


def there(storage: str) -> tuple[str, str]:
    """Flags that say where the storage is, and who asks."""
    return "--set", f"objectStorage.endpoint=http://{storage}:{PORT},objectStorage.existingSecret={SECRET}"


@pytest.fixture(scope="module")
def kept(storage: str, space: Namespace, proxy: Proxy) -> Iterator[Release]:
    release = Release(space, "raft", proxy)
    backup = ("--set", f"backup.enabled=true,backup.bucket=s3://{BUCKET}/raft/,backup.keep={KEPT}")
    try:
        release.install(*backup, *there(storage))
        release.healthy()
        yield release
    finally:
        release.remove()


def in_the_bucket(space: Namespace) -> list[str]:
    return space.kubectl("exec", STORAGE, "--container=s3", "--", "ls", f"root/{BUCKET}/raft").split()


def test_backups_go_to_the_bucket_older_ones_go_and_another_release_begins_with_the_newest(
    kept: Release, storage: str, space: Namespace, proxy: Proxy
) -> None:
    for number in range(KEYS_WRITTEN):
        kept.write(kept.nodes[number % 3], f"key-{number}", str(number))
    assert [metric(kept, proxy, node) for node in kept.nodes] == [0, 0, 0]
    begun = kept.now()
    said = [take(kept, f"take-{number}") for number in range(KEPT + 1)]
    figure("a backup into a bucket, with its pod", (kept.now() - begun) / len(said), "s")
    made = [line.partition(": ")[0] for told in said for line in told.splitlines() if line.startswith("s3://")]
    names = [url.rpartition("/")[2] for url in made]
    assert sorted(in_the_bucket(space)) == sorted(names[-KEPT:])
    assert f"removed as older than the {KEPT} newest: {names[0]}" in said[-1]
    until("every pod tells of it", lambda: all(metric(kept, proxy, node) for node in kept.nodes), 10)

    kept.write(kept.nodes[0], "after", "not in it")
    another = Release(space, "another", proxy)
    try:
        another.install(*there(storage), *POLICIES, "--set", f"restore.from={made[-1]},restore.token=drill")
        another.healthy()
        count = json.dumps({"key": "AA==", "range_end": "AA==", "count_only": True}).encode()
        counted: dict[str, Any] = another.ask(another.nodes[0], "/v3/kv/range", "POST", count)
        assert int(counted["count"]) == KEYS_WRITTEN
        assert another.value(another.nodes[1], "key-7") == b"7"
        assert another.value(another.nodes[2], "after") is None
        ids = {release.ask(release.nodes[0], "/status")["cluster_id"] for release in (kept, another)}
        assert len(ids) == 2, "two clusters from one backup are never taken for one"
    finally:
        another.remove()


def with_another_secret(container: Container) -> None:
    for variable in container["env"]:
        if variable["name"] == "AWS_SECRET_ACCESS_KEY":
            variable["valueFrom"]["secretKeyRef"]["name"] = "raft-s3-wrong"


def to_an_absent_bucket(container: Container) -> None:
    container["args"][1] = "s3://absent/raft/"


def of_a_silent_storage(container: Container) -> None:
    for variable in container["env"]:
        if variable["name"] == "AWS_ENDPOINT_URL":
            variable["value"] = variable["value"].replace(f":{PORT}", f":{SILENT_PORT}")


def without_a_secret(container: Container) -> None:
    container["env"] = [one for one in container["env"] if not one["name"].endswith(("_ID", "_ACCESS_KEY"))]


BROKEN: dict[str, tuple[Callable[[Container], None], int, str]] = {
    "wrong-keys": (with_another_secret, 2, "403 Forbidden, SignatureDoesNotMatch: "),
    "absent-bucket": (to_an_absent_bucket, 0, "404 Not Found, NoSuchBucket: The specified bucket does not exist"),
    "silent": (of_a_silent_storage, 0, f":{SILENT_PORT} did not answer in time"),
    "no-keys": (without_a_secret, 0, "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
}
"""What is changed in the Job that the CronJob would make, how often it is tried again, and what is said. By itself a
Job is tried three times, whatever the reason; once is enough to wait for."""


@pytest.mark.longest
def test_a_storage_that_cannot_be_used_fails_the_job_soon_with_one_sentence(
    kept: Release, space: Namespace, proxy: Proxy
) -> None:
    put_secret(space, "raft-s3-wrong", "another")
    before = in_the_bucket(space)
    told_of = [metric(kept, proxy, node) for node in kept.nodes]
    for name, (change, again, _) in BROKEN.items():
        words = ("create", "job", f"--from=cronjob/{kept.fullname}-backup", name, "--dry-run=client", "--output=json")
        job = json.loads(space.kubectl(*words))
        assert job["spec"]["backoffLimit"] == 2
        job["spec"]["backoffLimit"] = again
        change(job["spec"]["template"]["spec"]["containers"][0])
        space.apply(job)
    begun = kept.now()
    for name, (_, again, cause) in BROKEN.items():
        failed = ("--for=condition=failed", f"job/{name}", f"--timeout={FAILED_SECONDS_MAX}s")
        space.kubectl("wait", *failed, timeout_s=FAILED_SECONDS_MAX + 10)
        pods = space.get("pods", f"--selector=job-name={name}")["items"]
        assert len(pods) == again + 1
        for one in pods:
            end = one["status"]["containerStatuses"][0]["state"]["terminated"]
            log = space.kubectl("logs", one["metadata"]["name"])
            assert (end["exitCode"], end["message"]) == (1, log), "people see it in the pod's state as well"
            assert len(log.splitlines()) == 1, log
            assert cause in log, log
            assert log.endswith("; no backup was made.\n"), log
    figure("Jobs of backups that cannot be had are given up after", kept.now() - begun, "s")
    assert in_the_bucket(space) == before, "a failed backup removes nothing"
    assert [metric(kept, proxy, node) for node in kept.nodes] == told_of
