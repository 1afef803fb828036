"""Another authority, and another source of certificates: what pods, Jobs and monitors trust, and the way there."""

import base64
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cluster_stub import stub
from tests.chart.kubernetes_schema import NEWEST, OLDEST, check
from tests.chart.pod_security import violations
from tests.chart.rendering import CHART, Object, Rendered, Values, refusal, render, run
from tests.chart.test_tls import ALONE, MONITORED, managed, secured
from tests.chart.test_upgrade import SEEING, there, upgrade

BOTH: Values = {"authorities": {"existingSecret": "both"}}
REFUSED = "one step after the other, as docs/operations.md says under TLS"
CERTIFICATE = "/apis/cert-manager.io/v1/namespaces/ns/certificates/raft"
SECRET = "/api/v1/namespaces/ns/secrets/raft-tls"


def own(secret: str = "certs", *, mutual: bool = True, **more: Any) -> Values:
    tls = {"mode": "secret", "existingSecret": secret, "clients": {"mutual": mutual}}
    return {"tls": {**tls, **more}}


def made(issuer: str = "ours", *, mutual: bool = True, **more: Any) -> Values:
    values = managed(issuer={"name": issuer})
    values["tls"] |= {"clients": {"mutual": mutual}, **more}
    return values


def volumes(rendered: Rendered) -> dict[str, Object]:
    """The volume `tls` of each pod."""
    jobs = [one for one in rendered.all if one["kind"] == "Job"]
    backup = rendered.named("CronJob", "raft-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    specs = {
        "node": rendered.pod(),
        "test": rendered.named("Pod", "raft-test")["spec"],
        "backup": backup,
        **{job["metadata"]["name"].rpartition("-")[0]: job["spec"]["template"]["spec"] for job in jobs},
    }
    for spec in specs.values():
        assert violations(spec) == []
    return {who: next(one for one in spec["volumes"] if one["name"] == "tls") for who, spec in specs.items()}


def given(volume: Object) -> dict[str, list[str]]:
    """By Secret: the files that come from it."""
    sources = [one["secret"] for one in volume.get("projected", {"sources": []})["sources"]]
    if "secret" in volume:
        sources = [{"name": volume["secret"]["secretName"], **volume["secret"]}]
    return {one["name"]: [item["path"] for item in one.get("items", ())] or ["all"] for one in sources}


PAIR = ["tls.crt", "tls.key"]


@pytest.mark.parametrize("mutual", [False, True])
def test_nodes_jobs_tests_and_monitors_trust_one_bundle(mutual: bool) -> None:
    values: Values = {**own(mutual=mutual, **BOTH), **MONITORED, **ALONE, "backup": {"enabled": True, "claim": "kept"}}
    rendered = render(values)
    found = {who: given(volume) for who, volume in volumes(rendered).items()}
    assert found.pop("node") == {"both": ["ca.crt"], "certs": PAIR}
    assert set(found) == {"test", "backup", "raft-pre", "raft-fit"}
    for who, sources in found.items():
        assert sources == {"both": ["ca.crt"], **({"certs": PAIR} if mutual else {})}, who
    config = rendered.named("PodMonitor", "raft")["spec"]["podMetricsEndpoints"][0]["tlsConfig"]
    assert config["ca"] == {"secret": {"name": "both", "key": "ca.crt"}}
    assert config.get("keySecret") == ({"name": "certs", "key": "tls.key"} if mutual else None)
    assert rendered.environment() == render({**values, **own(mutual=mutual)}).environment()
    for item, version in itertools.product(rendered.all, (OLDEST, NEWEST)):
        check(item, version)


def test_what_clients_show_comes_from_their_own_secret_all_the_same() -> None:
    tls = own(**BOTH, clients={"mutual": True, "existingSecret": "clients"})
    found = volumes(render({**tls, "backup": {"enabled": True, "claim": "kept"}}))
    for who in ("test", "backup", "raft-pre", "raft-fit"):
        assert given(found[who]) == {"both": ["ca.crt"], "clients": PAIR}, who


def test_without_one_all_is_as_it_was() -> None:
    assert render(own()).all == render(own(authorities={"existingSecret": ""})).all
    assert render(own()).all == render(own(authorities=None)).all, "as in an upgrade that reuses older values"


def test_one_that_nobody_reads_or_that_cannot_be_is_refused() -> None:
    assert "tls.authorities.existingSecret both is not used while tls.mode is disabled" in refusal({"tls": BOTH})
    wrong = secured()
    wrong["tls"]["authorities"] = {"existingSecret": "a/b"}
    assert "tls.authorities.existingSecret a/b cannot be the name of anything" in refusal(wrong)


# --- the way there --------------------------------------------------------------------------------------------------


def held(values: Values, issuer: str = "") -> dict[str, Any]:
    """What the API holds of a release with `values`; `issuer`: who signed what is in the Secret NAME-tls."""
    found = there(values)
    if values["tls"]["mode"] == "certManager":
        found[CERTIFICATE] = render(values).named("Certificate", "raft")
    if issuer:
        said = {f"cert-manager.io/issuer-{key}": value for key, value in (("name", issuer), ("kind", "Issuer"))}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "raft-tls", "annotations": said}}
        found[SECRET] = {**secret, "data": {"ca.crt": base64.b64encode(b"x").decode()}}
    return found


STEPS: dict[str, tuple[Values, Values]] = {
    "to cert-manager, 1": (own(), own(**BOTH)),
    "to cert-manager, 2": (own(**BOTH), made(**BOTH)),
    "to cert-manager, 3": (made(**BOTH), made()),
    "into one's own Secret, 2": (own("raft-tls", **BOTH), made(**BOTH)),
    "another issuer, 1": (made(), made(**BOTH)),
    "another issuer, 2": (made(**BOTH), made("other", **BOTH)),
    "another issuer, 3": (made("other", **BOTH), made("other")),
    "back, 1": (made(), made(**BOTH)),
    "back, 2": (made(**BOTH), own(**BOTH)),
    "back, 3": (own(**BOTH), own()),
    "nothing of this": (made(), made()),
    "another Secret, which the Job tries": (own(), own("other")),
}
LEFT_OUT: dict[str, tuple[Values, Values]] = {
    "to cert-manager at once": (own(), made()),
    "to cert-manager, with the bundle for new pods alone": (own(), made(**BOTH)),
    "into one's own Secret at once": (own("raft-tls"), made()),
    "to cert-manager, and the bundle dropped": (own(**BOTH), made()),
    "to cert-manager, with another bundle": (own(**BOTH), made(authorities={"existingSecret": "others"})),
    "another issuer at once": (made(), made("other")),
    "another issuer, and the bundle dropped": (made(**BOTH), made("other")),
}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_of_the_guide_is_taken(tmp_path: Path, step: str) -> None:
    before, after = STEPS[step]
    assert upgrade(tmp_path, held(before), after) == (0, "")


@pytest.mark.parametrize("step", LEFT_OUT)
def test_a_step_that_is_left_out_is_refused_with_what_comes_first(tmp_path: Path, step: str) -> None:
    before, after = LEFT_OUT[step]
    code, said = upgrade(tmp_path, held(before), after)
    assert (code, REFUSED in said) == (1, True), said
    assert "upgrade with tls.authorities.existingSecret and no other change first" in said


def test_a_certificate_that_was_lost_comes_back_by_the_issuer_that_the_secret_names(tmp_path: Path) -> None:
    known = held(made(), "ours")
    del known[CERTIFICATE]
    assert upgrade(tmp_path, known, made()) == (0, "")
    assert REFUSED in upgrade(tmp_path, known, made("other"))[1]


def test_who_looks_before_the_upgrade_shows_what_the_pods_show_that_are_there(tmp_path: Path) -> None:
    """The Secret of cert-manager may not be there yet; and trusts what new pods will trust."""
    cases = {
        "to cert-manager": (
            own(**BOTH),
            made(**BOTH),
            {"both": ["ca.crt"], "certs": PAIR},
        ),
        "no longer both": (made(**BOTH), made(), {"raft-tls": ["all"]}),
        "back": (made(**BOTH), own(**BOTH), {"both": ["ca.crt"], "certs": PAIR}),
        "clients have their own": (
            own(**BOTH),
            made(**BOTH, clients={"mutual": True, "existingSecret": "clients"}),
            {"both": ["ca.crt"], "clients": PAIR},
        ),
    }
    for case, (before, after, expected) in cases.items():
        with stub(tmp_path, held(before)) as config:
            seeing = ("--is-upgrade", *SEEING, "--kubeconfig", str(config))
            done = run("template", "raft", str(CHART), *seeing, values=after)
        assert done.returncode == 0, done.stderr
        [job] = [
            one
            for one in yaml.safe_load_all(done.stdout)
            if one and one["kind"] == "Job" and one["metadata"]["name"].startswith("raft-pre")
        ]
        [volume] = [one for one in job["spec"]["template"]["spec"]["volumes"] if one["name"] == "tls"]
        assert given(volume) == expected, case
