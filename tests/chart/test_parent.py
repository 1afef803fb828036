"""The chart as a part of another: what a parent hands down is heeded, or refused with a sentence."""

import re
from pathlib import Path

import pytest
import yaml

from tests.chart.kubernetes_schema import NEWEST, check
from tests.chart.rendering import CHART, Object, Values, plain_name, run

PARENT = {"apiVersion": "v2", "name": "shop", "version": "1.0.0"}


def parent(folder: Path, **dependency: str) -> Path:
    """A chart that has this one in charts/, with `dependency` beside its name and version."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    chart = {**PARENT, "dependencies": [{"name": "raft", "version": version, **dependency}]}
    (folder / "charts").mkdir()
    (folder / "charts" / "raft").symlink_to(CHART)
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart))
    return folder


def rendered(chart: Path, values: Values, release: str = "shop") -> list[Object]:
    done = run("template", release, str(chart), "--namespace", "ns", values=values)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def refused(chart: Path, values: Values) -> str:
    done = run("template", "shop", str(chart), values=values)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("enabled", [True, False])
def test_a_parents_condition_decides_whether_there_is_a_cluster(tmp_path: Path, enabled: bool) -> None:
    found = rendered(parent(tmp_path, condition="raft.enabled"), {"raft": {"enabled": enabled, "replicaCount": 5}})
    assert [item["spec"]["replicas"] for item in found if item["kind"] == "StatefulSet"] == ([5] if enabled else [])
    assert bool(found) is enabled


def test_false_without_a_condition_is_refused_and_not_deployed(tmp_path: Path) -> None:
    said = refused(parent(tmp_path), {"raft": {"enabled": False}})
    assert "enabled is false, and the chart is rendered all the same" in said
    assert "give the dependency `condition: raft.enabled`" in said


def test_what_a_parent_gives_to_all_is_heeded_and_the_rest_is_left_to_others(tmp_path: Path) -> None:
    everywhere: Values = {
        "imageRegistry": "registry.example:5000",
        "imagePullSecrets": ["all", {"name": "own"}],
        "storageClass": "fast",
        "postgresql": {"auth": {"database": "shop"}},
    }
    own: Values = {"image": {"pullSecrets": ["own"]}, "commonLabels": {"team": "storage"}}
    found = rendered(parent(tmp_path), {"global": everywhere, "raft": own})
    for item in found:
        check(item, NEWEST)
    stateful_set = next(item for item in found if item["kind"] == "StatefulSet")
    assert stateful_set["metadata"]["name"] == "shop-raft"
    pod = stateful_set["spec"]["template"]["spec"]
    assert re.fullmatch(r"registry.example:5000/raft:[0-9.]+", pod["containers"][0]["image"])
    assert pod["imagePullSecrets"] == [{"name": "own"}, {"name": "all"}]
    assert stateful_set["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"
    test = next(item for item in found if plain_name(item) == "shop-raft-test")
    assert test["spec"]["imagePullSecrets"] == pod["imagePullSecrets"]


def test_what_a_parent_leaves_empty_for_all_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("imageRegistry", "imagePullSecrets", "storageClass", "defaultStorageClass"))
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    empty = rendered(parent(tmp_path / "one"), {"global": nothing})
    assert empty == rendered(parent(tmp_path / "other"), {"global": {}})


@pytest.mark.parametrize(
    ("repository", "image"),
    [
        ("team/raft", "all.example/team/raft"),
        ("own.example/raft", "own.example/raft"),
        ("localhost/raft", "localhost/raft"),
    ],
)
def test_an_image_that_names_its_registry_keeps_it(tmp_path: Path, repository: str, image: str) -> None:
    values = {"global": {"imageRegistry": "all.example/"}, "raft": {"image": {"repository": repository, "tag": "1"}}}
    pods = [
        item["spec"]["template"]["spec"]
        for item in rendered(parent(tmp_path), values)
        if "serviceName" in item.get("spec", {})
    ]
    assert [pod["containers"][0]["image"] for pod in pods] == [f"{image}:1"]


def test_the_charts_own_class_wins_over_a_parents(tmp_path: Path) -> None:
    values = {"global": {"defaultStorageClass": "all"}, "raft": {"persistence": {"storageClass": "own"}}}
    [found] = [item for item in rendered(parent(tmp_path), values) if item["kind"] == "StatefulSet"]
    assert found["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "own"


def test_a_wrong_key_is_named_below_the_parents_name_for_the_chart(tmp_path: Path) -> None:
    said = refused(parent(tmp_path), {"raft": {"probes": {"liveness": {"initialDelaySeconds": 3}}}})
    assert re.search(r"probes[./]liveness[./]initialDelaySeconds.*known here are failureThreshold", said), said


def test_another_name_in_the_parent_is_the_name_of_the_objects(tmp_path: Path) -> None:
    found = rendered(parent(tmp_path, alias="store"), {"store": {"replicaCount": 1}})
    assert {item["metadata"]["name"] for item in found if item["kind"] == "StatefulSet"} == {"shop-store"}
