"""`docker compose up`: five nodes as the README promises them, killed and stopped as an operator would."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.image.docker import (
    COMMAND_SECONDS_MAX,
    COMPOSE_FILE,
    NODE_PID,
    ROOT,
    ask,
    attempt,
    docker,
    inspect,
    until,
)

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(900)]

NAMES = ("n1", "n2", "n3", "n4", "n5")
INTERRUPTED = 130
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "user": "10001:10001"}

OVERRIDE = """\
  {name}:
    ports: !override ["127.0.0.1::8001"]
    environment: {{RAFT_ELECTION_TIMEOUT_MS: 1000-2000}}
"""


class Project:
    """A compose project of a test's own: another name, ports that the engine picks, and elections that do not happen
    because a machine is busy with tests."""

    def __init__(self, folder: Path, image: str, profile: str, services: tuple[str, ...]) -> None:
        override = folder / "override.yaml"
        override.write_text("services:\n" + "".join(OVERRIDE.format(name=name) for name in services))
        self.name = f"raft-test-{profile}-{os.getpid()}"
        self._said = folder / "said.txt"
        self._options = (
            *("--project-name", self.name, "--profile", profile),
            *("--file", str(COMPOSE_FILE), "--file", str(override)),
        )
        self._environment = {"IMAGE": image}

    def __call__(self, *arguments: str) -> str:
        return docker("compose", *self._options, *arguments, environment=self._environment)

    def container(self, name: str) -> str:
        return self("ps", "--all", "--quiet", name)

    def address(self, name: str) -> str:
        return self("port", name, "8001")

    def status(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self._read(name, "/status")))

    def leader(self, through: str) -> str:
        """Whom that node follows; empty: nobody yet."""
        return str(self.status(through)["leader"])

    def put(self, through: str, key: str, value: str) -> None:
        """Again until it is done: while an election is under way, nothing happens and a node says so."""
        until(lambda: ask(self.address(through), f"/kv/{key}", "PUT", value.encode()), f"{key} is written")

    def get(self, through: str, key: str) -> str:
        return self._read(through, f"/kv/{key}").decode()

    def _read(self, through: str, path: str) -> bytes:
        found: list[bytes] = []

        def read() -> bool:
            found.append(ask(self.address(through), path))
            return True

        until(read, f"{path} of {through} is read")
        return found[0]

    @contextmanager
    def in_a_terminal(self, *arguments: str) -> Iterator[Callable[[], int]]:
        """The command as a person starts it, and what Ctrl-C makes of it: the exit code."""
        with self._said.open("wb") as said:
            process = subprocess.Popen(
                ["docker", "compose", *self._options, *arguments],
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

            def interrupt() -> int:
                process.send_signal(signal.SIGINT)  # without a terminal it tells compose itself, and a second is a kill
                return process.wait(COMMAND_SECONDS_MAX)

            try:
                yield interrupt
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def remains(self) -> str:
        """Containers, volumes and networks of this project."""
        of = ("--quiet", "--filter", f"label=com.docker.compose.project={self.name}")
        return docker("ps", "--all", *of) + docker("volume", "ls", *of) + docker("network", "ls", *of)


@pytest.fixture(scope="module")
def five(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("five"), image, "cluster", NAMES)
    try:
        project("up", "--detach", "--wait")
        yield project
    finally:
        project("down", "--volumes", "--timeout", "10")


def as_configured(*options: str) -> dict[str, Any]:
    found = docker("compose", "--file", str(COMPOSE_FILE), *options, "config", "--format", "json")
    return dict(json.loads(found)["services"])


def test_it_publishes_the_ports_of_the_demo_on_this_machine_alone(image: str) -> None:
    services = as_configured()
    published = {
        name: [(port["host_ip"], port["published"], port["target"]) for port in service["ports"]]
        for name, service in services.items()
    }
    assert published == {f"n{i}": [("127.0.0.1", str(8000 + i), 8001)] for i in range(1, 6)}
    for name, service in services.items():
        assert {key: service[key] for key in HARDENED} == HARDENED
        assert service["build"]["network"] == "host"
        assert [(volume["type"], volume["source"]) for volume in service["volumes"]] == [("volume", name)]
        assert service["healthcheck"]["test"]
        assert service["stop_grace_period"] == "30s"


def test_the_profile_individual_is_one_node_alone(image: str, tmp_path: Path) -> None:
    assert list(as_configured("--profile", "individual")) == ["alone"]
    project = Project(tmp_path, image, "individual", ("alone",))
    try:
        project("up", "--detach", "--wait")
        project.put("alone", "k", "v")
        assert project.get("alone", "k") == "v"
        assert len(project.status("alone")["voters"]) == 1
    finally:
        project("down", "--volumes", "--timeout", "10")


@pytest.mark.parametrize(("profile", "services"), [("cluster", NAMES), ("individual", ("alone",))])
def test_one_command_builds_and_runs_them_and_ctrl_c_ends_it_in_order(
    image: str, tmp_path: Path, profile: str, services: tuple[str, ...]
) -> None:
    built = f"raft:test-up-{os.getpid()}"
    project = Project(tmp_path, built, profile, services)
    try:
        with project.in_a_terminal("up", "--build") as ctrl_c:
            there = "the image is built, the nodes run"
            until(lambda: len(project("ps", "--quiet").split()) == len(services), there, COMMAND_SECONDS_MAX)
            project.put(services[-1], "k", "v")
            assert project.get(services[0], "k") == "v"
            containers = [project.container(name) for name in services]
            assert {inspect(container)["Config"]["Image"] for container in containers} == {built}
            assert ctrl_c() == INTERRUPTED
        assert [inspect(container)["State"]["ExitCode"] for container in containers] == [0] * len(services)
    finally:
        project("down", "--volumes", "--timeout", "10")
        attempt("image", "rm", built)
    assert project.remains() == ""


def test_what_is_written_through_each_port_is_read_through_each_other(five: Project) -> None:
    assert len({five.leader(name) for name in NAMES}) == 1
    for name in NAMES:
        five.put(name, f"from-{name}", name)
    for reader in NAMES:
        assert [five.get(reader, f"from-{name}") for name in NAMES] == list(NAMES)
    assert json.loads(ask(five.address("n1"), "/commands"))["enabled_faults"] is True, "as in make demo"


def test_a_killed_leader_is_replaced_and_comes_back_with_its_data(five: Project) -> None:
    leader = five.leader("n1")
    others = [name for name in NAMES if name != leader]
    five.put(others[0], "before", "kept")
    docker("kill", "--signal", "KILL", five.container(leader))
    until(lambda: five.leader(others[0]) not in ("", leader), "another leader")
    five.put(others[1], "during", "written")
    assert five.get(others[2], "before") == "kept"
    five("up", "--detach", "--wait", leader)
    assert (five.get(leader, "before"), five.get(leader, "during")) == ("kept", "written")


def test_a_node_killed_in_place_is_started_again_by_the_engine(five: Project) -> None:
    victim = five.container(five.leader("n1"))
    attempt("exec", victim, "sh", "-c", f"kill -KILL {NODE_PID}")
    until(lambda: inspect(victim)["RestartCount"] == 1, "the engine starts it again")
    until(lambda: inspect(victim)["State"]["Health"]["Status"] == "healthy", "it is well")


def test_a_stopped_leader_hands_over_first_and_in_time(five: Project) -> None:
    leader = five.leader("n1")
    other = next(name for name in NAMES if name != leader)
    container = five.container(leader)
    five("stop", leader)
    assert inspect(container)["State"]["ExitCode"] == 0, "137: it was killed when its grace period was over"
    said = attempt("logs", container).stderr
    events = [json.loads(line) for line in said.splitlines() if '"transfer"' in line]
    assert [event["detail"]["phase"] for event in events][-1:] == ["done"]
    assert events[-1]["detail"]["target"] == five.leader(other)
    five("up", "--detach", "--wait", leader)


def test_the_data_survives_down_and_up(five: Project) -> None:
    five.put("n1", "for-ever", "kept")
    five("down", "--timeout", "10")
    five("up", "--detach", "--wait")
    assert five.get("n5", "for-ever") == "kept"
