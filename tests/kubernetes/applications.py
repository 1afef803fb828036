"""What Argo CD deploys: a repository of git with the chart in it, and an Application that tracks it.

Why it exists: a sync is asked for as Argo CD's command and page do, by `operation` of the Application, and how it ended
is read where these read it. It must know nothing of Raft, nor of how Argo CD runs (`argo_cd.py`).
"""

import json
import shutil
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.argo_cd import CLUSTER, GROUP
from tests.kubernetes.kube import CommandFailed, Namespace, run, until

FINALIZER = "resources-finalizer.argocd.argoproj.io"
REFRESH = "argocd.argoproj.io/refresh"
REFRESHED_SECONDS_MAX = 60.0
ENDED_SECONDS_MAX = 300.0
SETTLED_SECONDS_MAX = 240.0
REMOVED_SECONDS_MAX = 120

_SYNCS = count(1)


class Repository:
    """Of git: a chart, and values beside it."""

    def __init__(self, folder: Path, chart: Path) -> None:
        self.folder = folder
        shutil.copytree(chart, folder / "chart")
        self._git("init", "--quiet", "--initial-branch=main")

    def commit(self, values: Mapping[str, Any]) -> str:
        """These values, from now on; the revision."""
        (self.folder / "values.yaml").write_text(yaml.safe_dump(dict(values)))
        self._git("add", "--all")
        who = ("-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false")
        self._git(*who, "commit", "--quiet", "--allow-empty", "--message=values")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *words: str) -> str:
        return run("git", "-C", str(self.folder), *words)


class Application:
    """One of Argo CD's, in the namespace that it deploys to."""

    def __init__(self, space: Namespace, name: str, repository: Repository) -> None:
        self.space, self.name = space, name
        source = {
            "repoURL": f"file://{repository.folder}",
            "targetRevision": "main",
            "path": "chart",
            "helm": {"releaseName": name, "valueFiles": ["/values.yaml"]},
        }
        destination = {"server": CLUSTER, "namespace": space.name}
        space.apply(
            {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "Application",
                "metadata": {"name": name, "finalizers": [FINALIZER]},
                "spec": {"project": "default", "source": source, "destination": destination},
            }
        )

    def patch(self, patch: Mapping[str, Any]) -> None:
        words = ("patch", f"applications.{GROUP}", self.name, "--type=merge", f"--patch={json.dumps(patch)}")
        self.space.kubectl(*words)

    def seen(self) -> dict[str, Any]:
        return self.space.get(f"applications.{GROUP}", self.name)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.seen().get("status", {})
        return found

    def refreshed(self, how: str = "hard") -> dict[str, Any]:
        """Compare anew with what the repository holds; the status then."""
        self.patch({"metadata": {"annotations": {REFRESH: how}}})

        def done() -> dict[str, Any] | None:
            seen = self.seen()
            return None if REFRESH in seen["metadata"].get("annotations", {}) else seen["status"]

        return until(f"{self.name} is refreshed", done, REFRESHED_SECONDS_MAX)

    def begin(self, revision: str, **more: Any) -> Callable[[], dict[str, Any] | None]:
        """Ask for a sync of it; `more`: fields of its `sync`. What is returned tells how it ended, None before."""
        mark = {"name": "of the tests", "value": str(next(_SYNCS))}
        sync = {"revision": revision, "syncStrategy": {"hook": {}}, "prune": True, **more}
        operation = {"initiatedBy": {"username": "tests"}, "info": [mark], "sync": sync}
        # What is left of the last one would be taken for this one's beginning
        self.patch({"operation": operation, "status": {"operationState": None}})

        def ended() -> dict[str, Any] | None:
            state: dict[str, Any] = self.status().get("operationState", {})
            ours = mark in state.get("operation", {}).get("info", [])
            return state if ours and state["phase"] in ("Succeeded", "Failed", "Error") else None

        return ended

    def sync(self, revision: str, meanwhile: Callable[[], None] = lambda: None, **more: Any) -> dict[str, Any]:
        """Ask for a sync and wait for its end; its `operationState`. `meanwhile` is called again and again."""
        ended = self.begin(revision, **more)

        def looked() -> dict[str, Any] | None:
            meanwhile()
            return ended()

        try:
            return until(f"the sync of {self.name} ends", looked, ENDED_SECONDS_MAX)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status(), indent=1)}") from None

    def settled(self, revision: str) -> None:
        """Wait until all is as that revision has it, and healthy."""

        def is_so() -> bool:
            status = self.refreshed("normal")
            synced = (status["sync"]["status"], status["sync"].get("revision")) == ("Synced", revision)
            return synced and status["health"]["status"] == "Healthy"

        try:
            until(f"{self.name} is Synced and Healthy", is_so, SETTLED_SECONDS_MAX, every_s=1.0)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status(), indent=1)}") from None

    def remove(self) -> None:
        """As Argo CD does it: what it made goes first."""
        words = ("delete", f"applications.{GROUP}", self.name, "--ignore-not-found")
        self.space.kubectl(*words, f"--timeout={REMOVED_SECONDS_MAX}s", timeout_s=REMOVED_SECONDS_MAX + 10)


def hooks(state: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Of a sync: by when they ran (PreSync, Sync), which Job it was and what became of it."""
    rows = state.get("syncResult", {}).get("resources", [])
    return {row["hookType"]: (row["name"], row["hookPhase"]) for row in rows if "hookType" in row}


def differing(status: Mapping[str, Any]) -> list[str]:
    """Of an Application: what is not as the repository has it. Hooks are neither."""
    compared = [one for one in status["resources"] if not one.get("hook")]
    return [f"{one['kind']} {one['name']}: {one['status']}" for one in compared if one["status"] != "Synced"]


def logs(space: Namespace, job: str) -> str:
    """What a Job of Argo CD's has said; empty where it is gone."""
    try:
        return space.kubectl("logs", f"job/{job}")
    except CommandFailed:
        return ""
