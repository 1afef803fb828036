"""Which cluster is meant: nothing is guessed between two, and where none is, the reason is told."""

import builtins
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import TOOL_FAILED, ChaosError, Refused, Usage
from chaos.systems.etcd import Etcd
from chaos.systems.port import System
from chaos.systems.raftnode import RAFT_NODE
from chaos.targets import find, local
from chaos.targets.find import Choice

ROOT = Path(__file__).parents[2]


async def open_target(choice: Choice) -> object:
    return await find.open_target(choice)


class Opened:
    def __init__(self, title: str) -> None:
        self.title, self.closed = title, False
        self.system: System = RAFT_NODE

    async def close(self) -> None:
        self.closed = True


class World:
    """What is there: `local` and `kubernetes` are a cluster, or the error that opening it raises."""

    def __init__(self) -> None:
        self.local: Opened | ChaosError = Opened("the local cluster in ./raft-data")
        self.kubernetes: Opened | ChaosError = Opened("release raft in namespace default (context kind)")
        self.lab: Opened | ChaosError = Refused("There is no local cluster in etcd-data.")
        self.asked: list[Any] = []

    async def open_local(self, data_dir: Path, _: str) -> Opened:
        if data_dir == find.ETCD_DATA_DIR:
            return self._given(self.lab)
        self.asked.append(data_dir)
        return self._given(self.local)

    async def open_kubernetes(self, context: str | None, namespace: str | None, release: str | None) -> Opened:
        self.asked.append((context, namespace, release))
        return self._given(self.kubernetes)

    @staticmethod
    def _given(what: Opened | ChaosError) -> Opened:
        if isinstance(what, ChaosError):
            raise what
        return what


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Both kinds, and a kubeconfig."""
    made = World()
    stand_in = types.ModuleType("chaos.targets.kubernetes.target")
    stand_in.open_kubernetes = made.open_kubernetes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chaos.targets.kubernetes.target", stand_in)
    monkeypatch.setattr(local, "open_local", made.open_local)
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    return made


async def test_two_clusters_are_told_apart_by_the_user_alone(world: World) -> None:
    with pytest.raises(
        Usage, match=r"./raft-data and release raft in namespace default .*--target local or --target kub"
    ):
        await open_target(Choice())
    assert isinstance(world.local, Opened)
    assert isinstance(world.kubernetes, Opened)
    assert world.local.closed
    assert world.kubernetes.closed
    assert await open_target(Choice(target="local")) is world.local
    assert await open_target(Choice(target="kubernetes")) is world.kubernetes


async def test_a_lab_is_found_where_nothing_else_runs(world: World) -> None:
    world.lab = Opened("the local etcd cluster in ./etcd-data")
    world.kubernetes = Refused("No release in context kind.")
    with pytest.raises(Usage, match=r"two clusters, .* ./raft-data and .* ./etcd-data: say which with --data-dir"):
        await open_target(Choice())
    assert world.lab.closed
    world.local = Refused("There is no local cluster in raft-data.")
    assert await open_target(Choice()) is world.lab


async def test_a_system_that_is_named_is_the_one_that_is_broken(world: World) -> None:
    world.lab = Opened("the local etcd cluster in ./etcd-data")
    world.lab.system = Etcd({}, {})
    assert await open_target(Choice(system="etcd")) is world.lab
    assert await open_target(Choice(system="raft-node", target="local")) is world.local
    with pytest.raises(Usage, match=r"\./raft-data is no etcd"):
        await open_target(Choice(system="etcd", data_dir=Path("raft-data")))
    with pytest.raises(Usage, match="an etcd is only known locally"):
        await open_target(Choice(system="etcd", namespace="ops"))


@pytest.mark.parametrize(
    ("choice", "starter"),
    [
        (Choice(system="etcd"), "raft-chaos lab etcd"),
        (Choice(system="etcd", data_dir=Path("elsewhere")), "raft-chaos lab etcd"),
        (Choice(data_dir=Path("elsewhere")), "raft-node cluster"),
    ],
)
async def test_where_there_is_none_the_command_is_named_that_starts_one_of_that_system(
    choice: Choice, starter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match=f"There is no local cluster in .*: start one with {starter}, or name"):
        await find.open_target(choice)


async def test_the_only_one_there_is_found(world: World) -> None:
    there = world.kubernetes
    world.local = ChaosError("There is no local cluster in raft-data.")
    assert await open_target(Choice()) is there
    world.local, world.kubernetes = (
        Opened("local"),
        Refused("No release in context kind, namespaces searched: default."),
    )
    assert await open_target(Choice()) is world.local


async def test_without_a_kubeconfig_kubernetes_is_not_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    assert await open_target(Choice()) is world.local
    assert world.asked == [Path("raft-data")]


async def test_where_none_is_found_both_reasons_are_told(world: World) -> None:
    world.local = ChaosError("There is no local cluster in raft-data: start one.")
    world.kubernetes = Refused("No release was found in context kind, namespaces searched: a, b.")
    with pytest.raises(Refused) as refused:
        await open_target(Choice())
    assert "Local: there is no local cluster in raft-data: start one." in str(refused.value)
    assert "context kind, namespaces searched: a, b." in str(refused.value)


async def test_a_kubernetes_that_does_not_answer_is_a_failure_and_two_releases_are_a_question(world: World) -> None:
    world.local = Refused("There is no local cluster in raft-data: start one.")
    world.kubernetes = ChaosError("The cluster of context kind does not answer.")
    with pytest.raises(ChaosError, match="Kubernetes: the cluster of context kind does not answer") as failed:
        await open_target(Choice())
    assert failed.value.code == TOOL_FAILED
    world.kubernetes = Usage("2 releases were found in context kind: say which.")
    with pytest.raises(Usage, match=r"^2 releases were found"):
        await open_target(Choice())


async def test_a_flag_of_one_kind_decides_for_it(world: World) -> None:
    assert await open_target(Choice(release="raft", namespace="a", context="c")) is world.kubernetes
    assert await open_target(Choice(data_dir=Path("other"))) is world.local
    assert world.asked == [("c", "a", "raft"), Path("other")]


@pytest.mark.parametrize(
    "choice",
    [
        Choice(data_dir=Path("x"), namespace="a"),
        Choice(data_dir=Path("x"), target="kubernetes"),
        Choice(target="local", release="raft"),
    ],
)
async def test_flags_that_contradict_each_other_are_refused(world: World, choice: Choice) -> None:
    with pytest.raises(Usage, match="give one of the two"):
        await open_target(choice)
    assert world.asked == []


async def test_a_missing_kubernetes_client_is_a_sentence_with_its_cure(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "chaos.targets.kubernetes.target":
            raise ModuleNotFoundError("No module named 'kubernetes'", name="kubernetes.client")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Refused, match=re.escape(f"{sys.executable} -m pip install --editable '{ROOT}[chaos]'.")):
        await open_target(Choice(target="kubernetes"))
    assert await open_target(Choice()) is world.local


async def test_an_installed_copy_names_no_folder_that_cannot_be_installed(tmp_path: Path) -> None:
    assert find._install_command(tmp_path).endswith("-m pip install '.[chaos]' (in a checkout of this project)")


async def test_what_opening_one_raises_closes_the_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the sky fell")

    monkeypatch.setattr(find, "_open_kubernetes", broken)
    with pytest.raises(RuntimeError, match="the sky fell"):
        await open_target(Choice())
    assert isinstance(world.local, Opened)
    assert world.local.closed


async def test_without_a_home_there_is_no_kubeconfig(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert await open_target(Choice()) is world.local


async def test_a_kubeconfig_that_cannot_be_looked_at_is_only_a_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/" + "x" * 1000)  # too long a name
    world.kubernetes = Refused("The kubeconfig cannot be looked at.")
    assert await open_target(Choice()) is world.local
    assert len(world.asked) == 2
