"""Backups by the chart, and an install that begins with one: what is made, for whom, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.pod_security import violations
from tests.chart.rendering import EVERYTHING, Object, Values, refusal_among, render
from tests.chart.test_upgrade import there, upgrade

TO_CLAIM: Values = {"backup": {"enabled": True, "claim": "backups"}}
TO_BUCKET: Values = {
    "backup": {"enabled": True, "bucket": "s3://bucket/raft/", "keep": 5},
    "objectStorage": {"endpoint": "http://minio:9000", "existingSecret": "keys"},
}
FROM_CLAIM: Values = {"restore": {"from": "monday.snap", "claim": "backups", "token": "t1"}}
FROM_BUCKET: Values = {"restore": {"from": "s3://bucket/raft/monday.snap", "token": "t1"}}


def job(values: Values) -> Object:
    """The pod of the CronJob."""
    spec: Object = render(values).named("CronJob", "raft-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def step(values: Values) -> Object:
    found: Object = next(one for one in render(values).pod()["initContainers"] if one["name"] == "restore")
    return found


def keys_of(container: Object) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container.get("env", ())}


def test_neither_is_there_unless_it_is_asked_for() -> None:
    assert not [kind for kind, _ in render().names if kind == "CronJob"]
    assert "initContainers" not in render().pod()
    assert "raft/restored" not in render().stateful_set()["metadata"]["annotations"]


@pytest.mark.parametrize("values", [TO_CLAIM, TO_BUCKET, FROM_CLAIM, FROM_BUCKET, EVERYTHING])
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_it_and_it_passes_the_restricted_standard(values: Values, version: str) -> None:
    rendered = render(values)
    for item in rendered.all:
        check(item, version)
    pods = [rendered.pod(), *([job(values)] if "backup" in values else [])]
    assert [violations(pod) for pod in pods] == [[] for _ in pods]


def test_a_backup_goes_to_the_claim_with_the_nodes_own_image_and_without_a_token() -> None:
    spec = render(TO_CLAIM).named("CronJob", "raft-backup")["spec"]
    pod = job(TO_CLAIM)
    (container,) = pod["containers"]
    assert (spec["schedule"], spec["concurrencyPolicy"], "timeZone" in spec) == ("15 3 * * *", "Forbid", False)
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert container["image"] == render().node()["image"]
    assert container["command"] == ["tini", "--", "raft-node", "backup"]
    urls, to, keep = container["args"]
    assert urls.split(",") == [f"http://raft-{n}.raft-headless.ns.svc:8001" for n in range(3)]
    assert (to, keep) == ("/backup/", "--keep=14")
    assert container["volumeMounts"] == [{"name": "backup", "mountPath": "/backup"}]
    assert pod["volumes"] == [{"name": "backup", "persistentVolumeClaim": {"claimName": "backups"}}]
    assert container["resources"] == render().node()["resources"], "it loads the whole state once, as a node does"
    assert "env" not in container


def test_a_backup_goes_to_a_bucket_with_keys_of_a_secret() -> None:
    pod = job(TO_BUCKET)
    (container,) = pod["containers"]
    assert container["args"][1:] == ["s3://bucket/raft/", "--keep=5"]
    told = keys_of(container)
    assert (told["AWS_ENDPOINT_URL"], told["AWS_REGION"]) == ("http://minio:9000", "us-east-1")
    assert told["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}}
    assert pod["volumes"] == [{"name": "backup", "emptyDir": {}}]
    assert container["volumeMounts"] == [{"name": "backup", "mountPath": "/tmp"}], "the root is read only"


def test_why_it_failed_stands_in_the_state_of_the_pod() -> None:
    for container in (job(TO_CLAIM)["containers"][0], job(TO_BUCKET)["containers"][0], step(FROM_BUCKET)):
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_the_job_may_ask_the_nodes_where_policies_stand() -> None:
    both: Values = {**TO_CLAIM, "networkPolicy": {"enabled": True, "clients": []}}
    allowed = render(both).named("NetworkPolicy", "raft-clients")["spec"]["ingress"][0]["from"]
    labels = [one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in allowed]
    assert labels == ["node", "test", "members", "backup"]
    template = render(both).named("CronJob", "raft-backup")["spec"]["jobTemplate"]["spec"]["template"]
    assert template["metadata"]["labels"]["app.kubernetes.io/component"] == "backup"


def test_that_there_should_be_backups_is_known_to_the_alarm() -> None:
    rules: Values = {"monitoring": {"evenIfUnknown": True, "rules": {"enabled": True}}}

    def late(values: Values) -> str:
        found = render({**rules, **values}).named("PrometheusRule", "raft")["spec"]["groups"][0]["rules"]
        return str(next(rule["expr"] for rule in found if rule["alert"] == "RaftBackupLate"))

    assert "vector(0) > 0" in late({})
    assert "vector(1) > 0" in late(TO_CLAIM)


def test_names_that_fit_a_stateful_set_give_a_cronjob_one_that_fits() -> None:
    named = [name for kind, name in render(TO_CLAIM, "r" * 47).names if kind == "CronJob"]
    assert [len(name) <= 52 for name in named] == [True]


def test_each_member_is_restored_before_its_first_start_as_itself() -> None:
    found = step(FROM_CLAIM)
    assert found["command"] == ["tini", "--", "raft-node", "restore"]
    assert found["args"] == [
        "/backup/monday.snap", "--data-dir=/var/lib/raft", "--name=$(RAFT_NAME)", "--members=$(RAFT_SEEDS)",
        "--token=t1", "--once",
    ]  # fmt: skip
    names = [one["name"] for one in found["env"]]
    assert names.index("RAFT_NAME") < names.index("RAFT_SEEDS")
    assert "RAFT_URLS" in names, "a disk that was lost later is let in by those"
    assert {one["name"]: one["mountPath"] for one in found["volumeMounts"]} == {
        "data": "/var/lib/raft", "restore-from": "/backup",
    }  # fmt: skip
    claim = {"name": "restore-from", "persistentVolumeClaim": {"claimName": "backups"}}
    assert claim in render(FROM_CLAIM).pod()["volumes"]
    assert step(FROM_BUCKET)["args"][0] == "s3://bucket/raft/monday.snap"
    assert "AWS_REGION" in keys_of(step(FROM_BUCKET))
    assert render(FROM_CLAIM).stateful_set()["metadata"]["annotations"]["raft/restored"] == "t1"
    assert [one["name"] for one in render(EVERYTHING).pod()["initContainers"]] == ["restore", "before"]


REFUSED: dict[str, tuple[Values, str]] = {
    "nowhere": ({"backup": {"enabled": True}}, "names no place for them: set backup.claim or backup.bucket"),
    "two places": (
        {"backup": {"claim": "c", "bucket": "s3://bucket/"}}, "backup.claim c and backup.bucket s3://bucket/ are two",
    ),
    "no folder": ({"backup": {"bucket": "s3://bucket/file"}}, "backup.bucket s3://bucket/file is no folder"),
    "no endpoint": ({"objectStorage": {"endpoint": "minio:9000"}}, "objectStorage.endpoint minio:9000 is no address"),
    "no host": ({"objectStorage": {"endpoint": "http://"}}, "objectStorage.endpoint http:// is no address"),
    "no schedule": (
        {"backup": {"enabled": True, "claim": "c", "schedule": "daily"}}, "backup.schedule daily is no schedule",
    ),
    "no token": ({"restore": {"from": "s3://bucket/a.snap"}}, 'restore.token "" must be a word'),
    "no bucket": ({"restore": {"from": "a.snap", "token": "t"}}, "restore.from a.snap is no file in a bucket"),
    "no way there": (
        {**FROM_BUCKET, "networkPolicy": {"enabled": True}}, "name the storage in networkPolicy.servers",
    ),
    "out of the claim": (
        {"restore": {"from": "../a", "claim": "c", "token": "t"}}, "restore.from ../a is no file in the claim c",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_with_a_sentence(case: str) -> None:
    cases = {name: values for name, (values, _) in REFUSED.items()}
    assert re.search(REFUSED[case][1], refusal_among(cases, case, REFUSED[case][1]))


def test_a_release_that_is_there_is_not_restored_and_one_that_was_is_upgraded_as_ever(tmp_path: Path) -> None:
    code, said = upgrade(tmp_path, there(), FROM_BUCKET)
    assert (code != 0, "restore.from is for an install, and raft is there" in said) == (True, True)
    another = {"restore": {**FROM_BUCKET["restore"], "token": "t2"}}
    assert "restore.from is for an install" in upgrade(tmp_path, there(FROM_BUCKET), another)[1]
    assert upgrade(tmp_path, there(FROM_BUCKET), FROM_BUCKET)[0] == 0
    assert upgrade(tmp_path, there(FROM_BUCKET), {})[0] == 0, "it may be taken out"
    moved = {"restore": {**FROM_BUCKET["restore"], "from": "s3://archive/monday.snap"}}
    assert "a lost disk would be restored a second time" in upgrade(tmp_path, there(FROM_BUCKET), moved)[1]
