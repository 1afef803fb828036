"""A local cluster has a timing that a busy machine survives, unless anybody says otherwise."""

import os
from itertools import product

import pytest

from node import settings
from node.supervisor.timing import LOCAL_TIMING, LOCAL_WAIT, local_timing

OWN = {"name": "n1", "seeds": "n1=127.0.0.1:9001,n2=127.0.0.1:9002,n3=127.0.0.1:9003", "data_dir": "unused"}


def origins(flags: dict[str, str], environ: dict[str, str]) -> dict[str, str]:
    return settings.load({**OWN, **flags}, environ).origins


def test_nobody_said_anything_so_the_local_timing_is_used_and_fits_together() -> None:
    found = local_timing(origins({}, {}))
    assert found == LOCAL_TIMING | LOCAL_WAIT
    timed = settings.load({**OWN, **found}, {}).settings
    serve = settings.load(OWN, {}).settings
    assert timed.election_timeout_ms.low - timed.heartbeat_ms >= 2 * (
        serve.election_timeout_ms.low - serve.heartbeat_ms
    )


@pytest.mark.parametrize(
    ("key", "where"),
    list(product(["heartbeat_ms", "election_timeout_ms", "leaderless_wait_ms"], ["flag", "environment", "file"])),
)
def test_what_anybody_has_set_stays(key: str, where: str, tmp_path: "os.PathLike[str]") -> None:
    value = {"heartbeat_ms": "60", "election_timeout_ms": "160-320", "leaderless_wait_ms": "700"}[key]
    flags, environ = {}, {}
    if where == "flag":
        flags[key] = value
    elif where == "environment":
        environ[f"RAFT_{key.upper()}"] = value
    else:
        file = os.path.join(tmp_path, "raft.toml")
        with open(file, "w") as out:
            out.write(f"{key} = {value}\n" if value.isdigit() else f'{key} = "{value}"\n')
        environ["RAFT_CONFIG"] = file
    assert local_timing(origins(flags, environ)) == (LOCAL_TIMING if key in LOCAL_WAIT else LOCAL_WAIT)
