"""Watches pods and nodes from outside while something happens to them, and tells afterwards what was seen.

Why it exists: "one pod at a time" and "one leader per term" are said of every moment, not of the end. `PodWatch` is a
`kubectl get --watch`, `Journals` a `kubectl logs --follow` of every process; both are read when all is over.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kubernetes.kube import background, json_objects, until
from tests.kubernetes.release import Release, is_ready

START_SECONDS_MAX = 30.0
TRANSITION_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Seen:
    """What a series of pod events says."""

    most_away: int
    """The most pods at one moment that were not ready or on their way out."""
    left: tuple[str, ...]
    """In which order they began to leave."""


def judge_pods(events: Iterable[Mapping[str, Any]], nodes: Sequence[str]) -> Seen:
    """`events`: of `kubectl get pods --watch --output-watch-events`, the first of them the pods as they were."""
    here: dict[str, bool] = {}
    left: list[tuple[str, str]] = []
    most = 0
    for event in events:
        pod = event["object"]
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        here[name] = event["type"] != "DELETED" and is_ready(pod)
        if "deletionTimestamp" in pod["metadata"] and (name, uid) not in left:
            left.append((name, uid))
        if len(here) == len(nodes):
            most = max(most, sum(not ready for ready in here.values()))
    return Seen(most, tuple(name for name, _ in left))


class PodWatch:
    """A watch that runs."""

    def __init__(self, release: Release, printed: Path) -> None:
        self._release = release
        self._printed = printed

    def seen(self) -> Seen:
        return judge_pods(json_objects(self._printed.read_text()), self._release.nodes)


@contextmanager
def pod_watch(release: Release, folder: Path) -> Iterator[PodWatch]:
    """Begins with every pod seen."""
    printed = folder / "pods.json"
    options = ("--watch", "--output-watch-events", "--output=json", f"--selector={release.selector}")
    with background(*release.namespace.command("get", "pods", *options), output=printed):
        nodes = len(release.nodes)
        until("every pod is watched", lambda: len(json_objects(printed.read_text())) >= nodes, START_SECONDS_MAX)
        yield PodWatch(release, printed)


class Journals:
    """The transitions of every process that was followed."""

    def __init__(self, release: Release, folder: Path, stack: ExitStack) -> None:
        self._release = release
        self._folder = folder
        self._stack = stack
        self._followed: set[str] = set()

    def follow(self) -> None:
        """Follow the container that each node has now, from its first line on. Call it again after a replacement."""
        for node, pod in self._release.pods().items():
            for container in pod["status"].get("containerStatuses", []):
                name = container.get("containerID", "")
                if name and name not in self._followed and "running" in container["state"]:
                    self._followed.add(name)
                    printed = self._folder / f"journal-{len(self._followed)}-{node}.ndjson"
                    words = self._release.namespace.command("logs", "--follow", node, "--container=node")
                    self._stack.enter_context(background(*words, output=printed))

    def transitions(self, kind: str) -> list[dict[str, Any]]:
        """Of one kind (`won`, `transfer`, ...), each with `node`, `term`, `time_us` and `detail`; in order of time."""
        found = [line for path in self._folder.glob("journal-*.ndjson") for line in _lines(path)]
        return sorted((line for line in found if line.get("kind") == kind), key=lambda line: int(line["time_us"]))

    def wait_for(self, kind: str, count: int, within_s: float = TRANSITION_SECONDS_MAX) -> list[dict[str, Any]]:
        """Until so many were printed: lines travel through the API server."""
        return until(
            f"{count} transitions {kind!r}",
            lambda: found if len(found := self.transitions(kind)) >= count else None,
            within_s,
        )

    def one_leader_a_term(self) -> None:
        """No term was won twice."""
        winners: dict[int, set[str]] = defaultdict(set)
        for line in self.transitions("won"):
            winners[line["term"]].add(f"{line['node']} at {line['time_us']}")
        twice = {term: names for term, names in winners.items() if len(names) > 1}
        assert not twice, f"terms with more than one leader: {twice}"


@contextmanager
def journals(release: Release, folder: Path) -> Iterator[Journals]:
    """Follows every node that runs."""
    with ExitStack() as stack:
        followed = Journals(release, folder, stack)
        followed.follow()
        yield followed


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue  # the last line of a process that was killed
