"""The Jobs that bring the members to the pods 0 to n-1, and the guard at the API server."""

import re

import pytest

from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.pod_security import violations
from tests.chart.rendering import EVERYTHING, Object, Values, plain_name, render

JOBS = ("raft-pre", "raft-fit")
SECURE: Values = {"tls": {"mode": "secret", "existingSecret": "certificates"}}


def job(name: str, values: Values | None = None) -> Object:
    return render(values).named("Job", name)


def container(name: str, values: Values | None = None) -> Object:
    [found] = job(name, values)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_before_an_upgrade_a_rollback_or_a_sync_a_job_looks_and_takes_out_who_goes() -> None:
    found = job("raft-pre")
    annotations = found["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-upgrade,pre-rollback"
    assert annotations["argocd.argoproj.io/hook"] == "PreSync"
    assert annotations["helm.sh/hook-output-log-policy"] == "hook-failed", "its sentence is what people must see"
    assert found["spec"]["backoffLimit"] == 0
    words = container("raft-pre")
    assert words["command"] == ["tini", "--", "raft-node", "members", "fit", "--names", "raft-0,raft-1,raft-2"]
    assert words["args"][:4] == ["--before-rollout", "--within", "120", "--override"]
    assert "--no-hooks" in words["args"][4]
    assert found["spec"]["activeDeadlineSeconds"] > 120
    assert "serviceAccountName" not in found["spec"]["template"]["spec"], "there is none before a first sync"


ASKING: Values = {
    "auth": {"existingSecret": "tokens", "clientsSecret": "mine"},
    "tls": {**SECURE["tls"], "clients": {"mutual": True, "existingSecret": "shown"}},
}


@pytest.mark.parametrize("values", [EVERYTHING, SECURE, ASKING], ids=["all", "tls", "what is shown is another's"])
def test_a_first_sync_runs_before_all_else_what_needs_nothing_that_it_makes(values: Values) -> None:
    """Argo CD: PreSync is over before Secrets of the same application are there, and its pod would wait for them."""
    hook = "argocd.argoproj.io/hook"
    hooks = {plain_name(item): item["metadata"].get("annotations", {}).get(hook) for item in render(values).all}
    assert {name: when for name, when in hooks.items() if when and name in JOBS} == {
        "raft-pre": "PreSync",
        "raft-fit": "Sync",
    }
    assert [name for name, when in hooks.items() if when == "PreSync"] == ["raft-pre"]
    spec = job("raft-pre", values)["spec"]["template"]["spec"]
    assert "serviceAccountName" not in spec
    assert not any("valueFrom" in item for item in container("raft-pre", values)["env"])
    parts = [part for volume in spec.get("volumes", []) for part in projected(volume)]
    assert all(part["secret"]["optional"] is True for part in parts), "and nothing else is mounted"
    for volume in job("raft-fit", values)["spec"]["template"]["spec"].get("volumes", []):
        for part in projected(volume):
            assert volume["name"] == "token" or not part["secret"].get("optional"), "in the sync it waits for them"


def projected(volume: Object) -> list[Object]:
    """What it is made of."""
    return list(volume["projected"]["sources"]) if "projected" in volume else [volume]


def test_beside_the_pods_a_job_lets_in_who_came() -> None:
    found = job("raft-fit", {"replicaCount": 5})
    assert not [key for key in found["metadata"]["annotations"] if key.startswith("helm.sh/hook")]
    words = container("raft-fit", {"replicaCount": 5})
    assert words["command"][-1] == "raft-0,raft-1,raft-2,raft-3,raft-4"
    assert "--before-rollout" not in words["args"]
    [urls] = [item["value"] for item in words["env"] if item["name"] == "RAFT_URLS"]
    assert urls.count("http://raft-") == 5


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("values", [{}, EVERYTHING, SECURE], ids=["defaults", "all", "tls"])
def test_the_jobs_pods_are_restricted_and_have_no_token(name: str, values: Values) -> None:
    spec = job(name, values)["spec"]["template"]["spec"]
    assert violations(spec) == []
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"
    labels = job(name, values)["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "members", "no Service and no budget takes it for a node"
    for version in (OLDEST, NEWEST):
        check(job(name, values), version)


@pytest.mark.parametrize(
    "values",
    [{"image": {"tag": "2"}}, {"replicaCount": 5}, {"podLabels": {"a": "b"}}, {"tests": {"timeoutSeconds": 90}}],
)
def test_what_cannot_be_changed_has_another_name_where_it_is_another(values: Values) -> None:
    """So `kubectl apply` of it works after every change."""

    def made(of: Values | None) -> dict[str, Object]:
        kinds = [item for item in render(of).all if item["kind"] in ("Job", "Pod")]
        assert {plain_name(item) for item in kinds} == {*JOBS, "raft-test"}
        return {item["metadata"]["name"]: item["spec"] for item in kinds}

    before, after = made(None), made(values)
    assert before == made(None)
    assert before.keys() != after.keys()
    for name in before.keys() & after.keys():
        assert before[name] == after[name], name
    assert all(re.fullmatch(r"raft-(pre|fit|test)-[0-9a-f]{5}", name) for name in after)


def test_with_tls_alone_the_jobs_speak_it_and_on_the_way_there_they_do_not() -> None:
    """A certificate that cert-manager is yet to make must not hold up the upgrade that asks for it."""
    both: Values = {"tls": {**SECURE["tls"], "clients": {"accept": "both"}}}
    assert "volumeMounts" not in container("raft-pre", both)
    found = container("raft-pre", {"tls": {**SECURE["tls"], "clients": {"accept": "tls"}}})
    environment = {item["name"]: item["value"] for item in found["env"]}
    assert environment["RAFT_URLS"].startswith("https://raft-0.")
    assert environment["RAFT_CACERT"].startswith(found["volumeMounts"][0]["mountPath"])


def test_where_nodes_ask_for_a_token_the_jobs_show_one_that_may_operate_or_are_not_there() -> None:
    tokens: Values = {"auth": {"existingSecret": "tokens", "clientsSecret": "mine"}}
    spec = job("raft-fit", tokens)["spec"]["template"]["spec"]
    [volume] = spec["volumes"]
    assert volume["secret"]["items"] == [{"key": "operate", "path": "token"}]
    assert {"name": "RAFT_TOKEN_FILE", "value": "/etc/raft/token/token"} in spec["containers"][0]["env"]
    none: Values = {"auth": {"existingSecret": "tokens"}}
    assert not [kind for kind, _ in render(none).names if kind == "Job"]


@pytest.mark.parametrize("mutual", [False, True])
def test_what_a_job_is_to_show_may_be_missing_and_it_says_so_but_where_nodes_wait_for_it_too(mutual: bool) -> None:
    shown = {"mutual": mutual, "existingSecret": "mine" if mutual else ""}
    rendered = render({"tls": {**SECURE["tls"], "clients": shown}, "backup": {"enabled": True, "claim": "there"}})

    def may_be_missing(spec: Object) -> list[bool]:
        [volume] = [volume for volume in spec["volumes"] if volume["name"] == "tls"]
        of = [one["secret"] for one in volume["projected"]["sources"]] if "projected" in volume else [volume["secret"]]
        return [one.get("optional", False) for one in of]

    taking = rendered.named("CronJob", "raft-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    before, beside = (rendered.named("Job", name)["spec"]["template"]["spec"] for name in JOBS)
    for spec in (before, taking, rendered.named("Pod", "raft-test")["spec"]):
        assert may_be_missing(spec) == [True] * (1 + mutual)
    assert may_be_missing(beside) == [False] * (1 + mutual)
    assert may_be_missing(rendered.pod()) == [False]


def test_the_guard_at_the_api_server_is_of_this_release_alone() -> None:
    found = render({"admissionPolicy": {"enabled": True}})
    for which, resource in (("rollout", "statefulsets"), ("scale", "statefulsets/scale")):
        policy = found.named("ValidatingAdmissionPolicy", f"raft.ns.raft.{which}")
        [rule] = policy["spec"]["matchConstraints"]["resourceRules"]
        assert (rule["resources"], rule["resourceNames"]) == ([resource], ["raft"])
        space = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"]
        assert space == {"kubernetes.io/metadata.name": "ns"}
        binding = found.named("ValidatingAdmissionPolicyBinding", f"raft.ns.raft.{which}")
        assert binding["spec"] == {"policyName": f"raft.ns.raft.{which}", "validationActions": ["Deny"]}
        for item in (policy, binding):
            check(item, NEWEST)
    assert not [kind for kind, _ in render().names if kind.startswith("Validating")]
