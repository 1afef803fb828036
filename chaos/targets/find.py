"""Which cluster is meant: named by flags, or found where only one is there.

Why it exists: breaking the wrong cluster is the worst thing that this tool can do. So nothing is guessed between two,
and where none is found, the sentence says where it was looked for. Kubernetes is imported only when it may be meant:
a local cluster needs no client for it. It must not change anything.
"""

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec

from chaos.errors import ChaosError, Refused, Usage
from chaos.targets import local
from chaos.targets.port import Target

DEFAULT_DATA_DIR, ETCD_DATA_DIR = Path("raft-data"), Path("etcd-data")
"""Where `raft-node cluster` and `raft-chaos lab etcd` put theirs, below the current folder."""
PROBE_SECONDS_MAX = 10.0
"""Unasked, a Kubernetes that does not answer is given up after this."""
_POD_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_USUAL_KUBECONFIG = "~/.kube/config"
_ROOT = Path(__file__).parents[2]
"""The checkout; what `site-packages` is for an installed copy."""

Opener = Callable[["Choice"], Awaitable[Target]]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says of the target; None: nothing."""

    target: Literal["auto", "local", "kubernetes"] = "auto"
    namespace: str | None = None
    release: str | None = None
    context: str | None = None
    data_dir: Path | None = None
    system: Literal["auto", "raft-node", "etcd"] = "auto"

    @property
    def kubernetes_flags(self) -> tuple[str, ...]:
        """Those that were given."""
        given = {"--namespace": self.namespace, "--release": self.release, "--context": self.context}
        return tuple(flag for flag, value in given.items() if value is not None)


async def open_target(choice: Choice) -> Target:
    """The cluster that is meant; close it. Raises Usage where flags contradict each other or two clusters could be
    meant, Refused where none is there."""
    match _kind(choice):
        case "local":
            return await _open_local(choice)
        case "kubernetes":
            return await _open_kubernetes(choice)
    found_locally, why_not_local = await _try(_open_local, choice)
    if isinstance(why_not_local, Usage):
        raise why_not_local
    found_there: Target | None = None
    why_not_there: ChaosError = Refused("There is no kubeconfig.")
    try:
        if _kubernetes_is_set_up():
            found_there, why_not_there = await _try(_open_kubernetes, choice)
    except BaseException:
        if found_locally:
            await found_locally.close()
        raise
    if found_locally and found_there:
        await found_locally.close()
        await found_there.close()
        raise Usage(
            f"There are two clusters, {found_locally.title} and {found_there.title}: "
            "say which with --target local or --target kubernetes."
        )
    found = found_locally or found_there
    if found is None:
        raise _none_found(why_not_local, why_not_there)
    return found


def _kind(choice: Choice) -> Literal["auto", "local", "kubernetes"]:
    """What the flags alone decide."""
    flags = choice.kubernetes_flags
    if choice.data_dir is not None and (flags or choice.target == "kubernetes"):
        other = flags[0] if flags else "--target kubernetes"
        raise Usage(f"--data-dir means a local cluster and {other} one in Kubernetes: give one of the two.")
    if choice.target == "local" and flags:
        raise Usage(f"{flags[0]} means a cluster in Kubernetes and --target local one here: give one of the two.")
    if choice.system == "etcd" and (flags or choice.target == "kubernetes"):
        other = flags[0] if flags else "--target kubernetes"
        raise Usage(f"{other} means a release in Kubernetes, and an etcd is only known locally: give one of the two.")
    if choice.target != "auto":
        return choice.target
    if choice.data_dir is not None or choice.system == "etcd":
        return "local"
    return "kubernetes" if flags else "auto"


async def _open_local(choice: Choice) -> Target:
    """The folder that is named, else those that are usual: where one of them holds a cluster that runs, that one."""
    usual = {"raft-node": (DEFAULT_DATA_DIR,), "etcd": (ETCD_DATA_DIR,), "auto": (DEFAULT_DATA_DIR, ETCD_DATA_DIR)}
    found: list[Target] = []
    why: dict[Path, ChaosError] = {}
    for folder in (choice.data_dir,) if choice.data_dir is not None else usual[choice.system]:
        try:
            is_lab = choice.system == "etcd" or folder == ETCD_DATA_DIR
            found.append(await local.open_local(folder, "etcd" if is_lab else "raft-node"))
        except ChaosError as error:
            why[folder] = error
    if not found:
        raise why[min(why, key=lambda folder: not folder.exists())]
    for other in found[1:]:
        await other.close()
    if len(found) > 1:
        await found[0].close()
        raise Usage(f"There are two clusters, {found[0].title} and {found[1].title}: say which with --data-dir.")
    if choice.system not in ("auto", found[0].system.name):
        await found[0].close()
        raise Usage(f"{found[0].title} is no {choice.system}: leave --system out, or name another --data-dir.")
    return found[0]


async def _open_kubernetes(choice: Choice) -> Target:
    try:
        from chaos.targets.kubernetes.target import open_kubernetes
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "kubernetes":
            raise
        why = f"the Kubernetes client is not installed; it comes with: {_install_command(_ROOT)}"
        raise Refused(f"A cluster in Kubernetes cannot be reached, because {why}.") from None
    return await open_kubernetes(context=choice.context, namespace=choice.namespace, release=choice.release)


def _install_command(root: Path) -> str:
    """From a checkout, and into the environment that runs this: no registry carries the project, and a bare `pip` may
    be another environment's."""
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    if (root / "pyproject.toml").is_file():
        return f"{pip} --editable {shlex.quote(f'{root}[chaos]')}"
    return f"{pip} '.[chaos]' (in a checkout of this project)"


def _none_found(locally: ChaosError, there: ChaosError) -> ChaosError:
    """Both reasons. A cluster that is set up and does not answer is a failure, none at all a refusal; where there are
    several, which one is meant is the question."""
    if isinstance(there, Usage):
        return there
    kind = Refused if isinstance(there, Refused) else ChaosError
    return kind(
        f"No cluster was found. Local: {_clause(str(locally))}. Kubernetes: {_clause(str(there))}. "
        "Name one with --data-dir, or with --context, --namespace and --release."
    )


async def _try(opener: Opener, choice: Choice) -> tuple[Target | None, ChaosError]:
    """The target, or why it is not there. Not asked for, so an error is only a reason."""
    try:
        async with asyncio.timeout(PROBE_SECONDS_MAX):
            return await opener(choice), ChaosError("")
    except TimeoutError:
        return None, ChaosError(f"No answer within {PROBE_SECONDS_MAX:.0f} s.")
    except ChaosError as error:
        return None, error


def _kubernetes_is_set_up() -> bool:
    """Whether there is a kubeconfig, or this is a pod that may talk to the API server."""
    files = (os.environ.get("KUBECONFIG") or _USUAL_KUBECONFIG).split(os.pathsep)
    return any(_may_be_there(file) for file in (*files, str(_POD_TOKEN)) if file)


def _may_be_there(file: str) -> bool:
    """One that cannot be looked at counts: opening it says why."""
    try:
        return Path(file).expanduser().is_file()
    except RuntimeError:  # nobody knows the home folder
        return False
    except OSError:
        return True


def _clause(sentence: str) -> str:
    """A sentence as a part of another."""
    return sentence[:1].lower() + sentence[1:].rstrip(".") if not sentence[:2].isupper() else sentence.rstrip(".")
