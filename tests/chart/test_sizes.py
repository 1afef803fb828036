"""A size is one value that sets log, store, memory and disk, which fit each other; whatever is set by itself wins."""

from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, Values, refusal, render
from tests.chart.test_settings import settings_of
from tests.generated.chart import SIZED

SIZES: dict[str, Any] = yaml.safe_load((CHART / "files" / "sizes.yaml").read_text())
UNITS = {"Mi": 1024**2, "Gi": 1024**3}


def of_kubernetes(size: str) -> int:
    return int(size[:-2]) * UNITS[size[-2:]]


def test_medium_is_what_is_meant_where_nothing_is_said() -> None:
    assert render({"size": "medium"}).all == render().all


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("replicas", [1, 7])
def test_what_a_size_sets_fits_each_other(size: str, replicas: int) -> None:
    """The chart refuses none, and each is as docs/operations.md plans: memory for twice the store and the log, a disk
    of four times the store and 200 MiB."""
    values: Values = {"size": size, "replicaCount": replicas}
    settings = settings_of(values)
    for key in SIZED:
        assert render(values).environment()[f"RAFT_{key.upper()}"] == SIZES[size]["settings"][key]
    node = render(values).node()
    assert node["resources"] == SIZES[size]["resources"]
    assert (
        of_kubernetes(node["resources"]["limits"]["memory"]) >= 2 * settings.quota_bytes + 2.8 * settings.max_log_bytes
    )
    claim = render(values).stateful_set()["spec"]["volumeClaimTemplates"][0]
    disk = claim["spec"]["resources"]["requests"]["storage"]
    assert disk == SIZES[size]["persistence"]["size"]
    assert of_kubernetes(disk) >= 4 * settings.quota_bytes + 200 * 1024**2
    assert node["startupProbe"]["failureThreshold"] == 60 + settings.max_log_bytes // 1024**2


def test_sizes_grow() -> None:
    small, medium, large = (settings_of({"size": size}) for size in SIZES)
    for key in SIZED:
        assert getattr(small, key) < getattr(medium, key) < getattr(large, key)


def test_what_is_set_by_itself_wins_and_is_held_against_the_rest() -> None:
    values: Values = {
        "size": "small",
        "settings": {"max_log_bytes": "32MiB"},
        "persistence": {"size": "3Gi"},
        "resources": {"requests": {"cpu": 0.5}, "limits": {"memory": "2Gi"}},
        "probes": {"startup": {"periodSeconds": 5}},
    }
    rendered = render(values)
    assert settings_of(values).max_log_bytes == 32 * 1024**2
    assert settings_of(values).quota_bytes == 256 * 1024**2
    assert rendered.node()["resources"] == {"requests": {"cpu": 0.5, "memory": "256Mi"}, "limits": {"memory": "2Gi"}}
    assert rendered.node()["startupProbe"]["failureThreshold"] == 19, "5 s each, 92 s in all"
    assert "resources.limits.memory 1536Mi cannot hold" in refusal(
        {"size": "small", "settings": {"max_log_bytes": "1GiB"}}
    )
    assert "persistence.size 2Gi cannot hold" in refusal({"size": "small", "settings": {"max_log_bytes": "1GiB"}})


def test_what_is_taken_away_is_not_there_whatever_the_size() -> None:
    values: Values = {
        "size": "large",
        "resources": {"requests": {"cpu": None}, "limits": None},
        "settings": {"quota_bytes": None},
    }
    assert render(values).node()["resources"] == {"requests": {"memory": "8Gi"}}
    assert "RAFT_QUOTA_BYTES" not in render(values).environment()


def test_an_amount_that_no_size_knows_and_nobody_says_is_none() -> None:
    assert render({"resources": {"limits": {"cpu": ""}}}).node()["resources"]["limits"] == {"memory": "4Gi"}
