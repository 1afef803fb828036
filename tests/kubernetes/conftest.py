"""What every test on Kubernetes gets: a cluster that is there, a way in, and its figures printed at the end."""

import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from tests.kubernetes import figures
from tests.kubernetes.chaos_account import RBAC, kubeconfig_of
from tests.kubernetes.chaos_tool import Tool
from tests.kubernetes.doors import PortForward, Proxy, kubectl_proxy, port_forward
from tests.kubernetes.kube import Namespace, namespace, run
from tests.kubernetes.policies import enforced
from tests.kubernetes.release import IMAGE_VARIABLE, Release, release
from tests.kubernetes.secure import Client, SecureDoors, secure_doors

HERE = Path(__file__).parent
WITHOUT_A_CLUSTER = ("test_judging.py", "test_sharing.py")
GUARDED = {
    "chart policies off": "networkPolicy.enabled=false",
    "chart policies on": "networkPolicy.enabled=true,networkPolicy.servers[0].ipBlock.cidr=0.0.0.0/0",
}
"""What nodes may ask beside each other, such as a storage outside, may be a range that holds them all."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "smoke: the part of tests/kubernetes that fits into CI; PART=ci")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that lives here needs a cluster, but the tests of what judges and shares. Of a test that `IN_ALL` of
    its module names, only the variants given there are of `all`; the others are of PART=long."""
    variants: dict[tuple[ModuleType, str], set[str]] = {}
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.name not in WITHOUT_A_CLUSTER:
            item.add_marker(pytest.mark.kubernetes)
            item.add_marker(pytest.mark.timeout(600))
        if isinstance(item, pytest.Function) and hasattr(item.module, "IN_ALL") and hasattr(item, "callspec"):
            variants.setdefault((item.module, item.originalname), set()).add(item.callspec.id)
            if item.callspec.id not in item.module.IN_ALL.get(item.originalname, {item.callspec.id}):
                item.add_marker(pytest.mark.longest)
    for (module, name), found in variants.items():
        if len(found) > 1 and not module.IN_ALL.get(name, set()) <= found:
            unknown = sorted(module.IN_ALL[name] - found)
            raise pytest.UsageError(f"{module.__name__}.IN_ALL: {name} has no {unknown}, it has {sorted(found)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed is told with how its releases are then: at the end of the file they are gone."""
    report = yield
    if report.failed and report.when == "call" and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, Release):
                report.sections.append((f"what `{name}` is like", value.describe()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures.lines():
        figures.save()
        terminalreporter.section("figures")
        for line in figures.lines():
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def cluster() -> None:
    """Say in one sentence what is missing, before anything waits for it."""
    for program in ("kubectl", "helm"):
        assert shutil.which(program), f"{program} is not on PATH: run these tests by `make test-kubernetes`"
    assert os.environ.get(IMAGE_VARIABLE), f"{IMAGE_VARIABLE} is not set: run these tests by `make test-kubernetes`"
    run("kubectl", "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s", timeout_s=130)


@pytest.fixture(scope="session")
def proxy(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with kubectl_proxy(tmp_path_factory.mktemp("proxy")) as started:
        yield started


@pytest.fixture(scope="module")
def space(cluster: None, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """This module's namespace."""
    with namespace(Path(str(request.path)).stem.removeprefix("test_").replace("_", "-")) as made:
        yield made


@pytest.fixture(scope="module")
def secure(space: Namespace, certificates: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureDoors]:
    """The way in that speaks TLS, of a module that has a fixture `certificates`."""
    with secure_doors(space, certificates, tmp_path_factory.mktemp("doors")) as made:
        yield made


@pytest.fixture(scope="module")
def raft(space: Namespace, request: pytest.FixtureRequest) -> Iterator[Release]:
    """This module's release; `INSTALLED_WITH` of the module: flags of `helm install`, `NODES`: how many, else 3. With
    TLS where the module has a fixture `certificates`."""
    flags, nodes = getattr(request.module, "INSTALLED_WITH", ()), getattr(request.module, "NODES", 3)
    proxy: Proxy = request.getfixturevalue("secure" if hasattr(request.module, "certificates") else "proxy")
    with release(space, proxy, *flags, nodes=nodes) as installed:
        yield installed


@pytest.fixture(autouse=True)
def doors_of_one_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """The ways in that speak TLS and that a test opened end with it."""
    secure = request.getfixturevalue("secure") if hasattr(request.module, "certificates") else None
    yield
    if secure is not None:
        secure.close()


@pytest.fixture(scope="module")
def account(raft: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of the account that this module's release has for raft-chaos."""
    return kubeconfig_of(raft, tmp_path_factory.mktemp("account"))


@pytest.fixture(scope="module", params=GUARDED)
def guarded(raft: Release, request: pytest.FixtureRequest) -> str:
    """Whether the chart's own policies are on."""
    raft.upgrade(*RBAC, "--set", GUARDED[request.param])
    return str(request.param)


@pytest.fixture
def tool(account: Path, evidence: Path, request: pytest.FixtureRequest) -> Iterator[Tool]:
    """`raft-chaos` by that account, on a cluster that is whole, and whose policies do what they say."""
    with enforced():
        made, failed = Tool(account, evidence), request.session.testsfailed
        made.until_whole()
        yield made
        if request.session.testsfailed > failed:  # who passes leaves nothing
            made("heal", "--all")


@pytest.fixture
def doors(raft: Release, evidence: Path) -> Iterator[dict[str, PortForward]]:
    """A port-forward to every pod. What policies allow does not matter to it: it ends in the pod's own loopback."""
    with ExitStack() as stack:
        yield {node: stack.enter_context(port_forward(raft.namespace, f"pod/{node}", evidence)) for node in raft.nodes}


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Path:
    """A folder for what was recorded, kept until this test's next run: a failure is understood from it."""
    name = re.sub(r"[^a-z0-9]+", "-", str(request.node.name).removeprefix("test_")).strip("-")
    folder = figures.FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
