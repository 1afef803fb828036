"""The image as a container engine sees it: small, unprivileged, quick, and ended by signals."""

import os
from collections.abc import Iterator

import pytest

from node import __version__
from tests.image.docker import NODE_PID, attempt, docker, inspect, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

BASE = "python:3.13-slim"
BYTES_OVER_BASE_MAX = 120_000_000
GRACE_SECONDS = 30
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
ALONE = ("--env", "RAFT_NAME=n1", "--env", "RAFT_SEEDS=n1=127.0.0.1:9001")


@pytest.fixture
def container(image: str) -> Iterator[str]:
    """A node alone, as locked up as can be, that is started again when it fails; its name."""
    name = f"raft-test-image-{os.getpid()}"
    volume = f"{name}:/var/lib/raft"
    docker("run", "--detach", "--name", name, "--restart", "on-failure", *HARDENED, *ALONE, "--volume", volume, image)
    try:
        until(lambda: well(name, "readyz"), "the node is ready")
        yield name
    finally:
        docker("rm", "--force", name)
        docker("volume", "rm", name)


def well(name: str, path: str = "livez") -> bool:
    return attempt("exec", name, "python", "-m", "node.healthcheck", path).returncode == 0


def inside(name: str, command: str) -> str:
    return docker("exec", name, "sh", "-c", command)


def test_it_is_small(image: str) -> None:
    over = inspect(image)["Size"] - inspect(BASE)["Size"]
    assert 0 < over < BYTES_OVER_BASE_MAX


def test_it_says_what_it_is_and_how_it_runs(image: str) -> None:
    config = inspect(image)["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/usr/bin/tini", "--", "raft-node", "serve"]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert set(config["ExposedPorts"]) == {"8001/tcp", "9001/tcp"}
    assert not config.get("Volumes"), "a volume in the image would be an anonymous one for each container"
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "-m", "node.healthcheck", "livez"]


def test_it_holds_nothing_that_a_node_does_not_need(image: str) -> None:
    code = (
        "import importlib.util as u, shutil;"
        "print([m for m in ('kubernetes', 'chaos', 'tests', 'pytest', 'mypy', 'setuptools') if u.find_spec(m)],"
        "[p for p in ('gcc', 'cc', 'make', 'git') if shutil.which(p)])"
    )
    assert docker("run", "--rm", "--entrypoint", "python", image, "-c", code) == "[] []"
    listing = ("--entrypoint", "sh", image, "-c", "ls -A /root/.cache /tmp /source 2>/dev/null | grep -v : ; true")
    assert docker("run", "--rm", "--user", "0", *listing) == "", "caches, or the sources"


def test_everything_that_a_node_imports_is_compiled_beforehand(image: str) -> None:
    code = (
        "import sys, os, node.cli.commands, node.app, node.healthcheck, raftclient;"
        "print(sorted(n for n, m in sys.modules.items()"
        " if getattr(m, '__cached__', None) and not os.path.exists(m.__cached__)))"
    )
    assert docker("run", "--rm", "--read-only", "--entrypoint", "python", image, "-c", code) == "[]"


def test_a_version_that_the_code_does_not_have_is_refused() -> None:
    done = attempt("build", "--network", "host", "--build-arg", "VERSION=9.9.9", "--target", "build", ".")
    assert done.returncode != 0
    assert f"build with --build-arg VERSION={__version__}" in done.stderr


def test_a_setting_that_is_missing_is_one_sentence(image: str) -> None:
    done = attempt("run", "--rm", *HARDENED, image)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_read_only_root_without_a_volume_is_one_sentence(image: str) -> None:
    done = attempt("run", "--rm", *HARDENED, *ALONE, image)
    assert done.returncode == 3
    assert "Read-only file system" in done.stderr.strip().splitlines()[-1]


def test_the_node_is_the_child_of_an_init_and_nobody_s_root(container: str) -> None:
    assert inside(container, "cat /proc/1/comm") == "tini"
    assert inside(container, f"tr '\\0' ' ' < /proc/{NODE_PID}/cmdline").endswith("raft-node serve")
    for pid in ("1", NODE_PID):
        status = inside(container, f"cat /proc/{pid}/status")
        for line in ("Uid:\t10001\t10001\t10001\t10001", "Gid:\t10001\t10001\t10001\t10001", "NoNewPrivs:\t1"):
            assert line in status
        assert "CapEff:\t0000000000000000" in status
    refused = attempt("exec", container, "sh", "-c", "touch /tmp/x || touch /opt/raft/x")
    assert refused.returncode != 0
    assert "Read-only file system" in refused.stderr


def test_a_node_killed_in_place_ends_its_container_which_comes_back_with_its_data(container: str) -> None:
    put = "import urllib.request as u; u.urlopen(u.Request('http://localhost:8001/kv/k', data=b'v', method='PUT'))"
    docker("exec", container, "python", "-c", put)
    attempt("exec", container, "sh", "-c", f"kill -KILL {NODE_PID}")  # the shell may die with the container
    until(lambda: inspect(container)["RestartCount"] == 1 and well(container, "readyz"), "it runs again")
    get = "import urllib.request as u; print(u.urlopen('http://localhost:8001/kv/k').read())"
    assert docker("exec", container, "python", "-c", get) == "b'v'"


def test_a_node_paused_in_place_is_unwell_and_goes_on(container: str) -> None:
    inside(container, f"kill -STOP {NODE_PID}")
    assert not well(container)
    inside(container, f"kill -CONT {NODE_PID}")
    until(lambda: well(container), "it goes on")
    assert inspect(container)["RestartCount"] == 0


def test_it_ends_in_order_when_it_is_told_to(container: str) -> None:
    docker("stop", "--time", str(GRACE_SECONDS), container)
    state = inspect(container)["State"]
    assert (state["ExitCode"], state["Status"]) == (0, "exited"), "137: it was killed when its time was over"
    assert "asked to stop" in attempt("logs", container).stderr
