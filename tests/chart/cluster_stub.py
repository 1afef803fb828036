"""Just enough of a Kubernetes API for `helm template --dry-run=server`: discovery, and reading what is there.

Why it exists: the chart looks at the objects of an earlier revision and refuses what would break them, and a render
without a cluster finds none. Reads alone: it must not take anything that changes an object.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STOP_POLL_SECONDS = 0.01
"""How late a server notices that it is over; the library's half a second would be most of a test."""

KINDS = {
    "v1": ["PersistentVolumeClaim", "Pod", "Service", "ServiceAccount", "Secret"],
    "apps/v1": ["StatefulSet"],
    "policy/v1": ["PodDisruptionBudget"],
    "networking.k8s.io/v1": ["Ingress", "NetworkPolicy"],
    "batch/v1": ["Job"],
    "cert-manager.io/v1": ["Certificate"],
}
PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}


def _kinds(group_version: str) -> dict[str, Any]:
    resources = [
        {
            "name": PLURALS.get(kind, f"{kind.lower()}s"),
            "kind": kind,
            "namespaced": True,
            "singularName": "",
            "verbs": ["get", "list"],
        }
        for kind in KINDS[group_version]
    ]
    return {"kind": "APIResourceList", "groupVersion": group_version, "resources": resources}


def _pages(objects: dict[str, Any]) -> dict[str, Any]:
    named = [found for found in KINDS if "/" in found]
    versions = [{"groupVersion": found, "version": found.partition("/")[2]} for found in named]
    groups = [
        {"name": found["groupVersion"].partition("/")[0], "versions": [found], "preferredVersion": found}
        for found in versions
    ]
    return {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/api/v1": _kinds("v1"),
        **{f"/apis/{found}": _kinds(found) for found in named},
        "/api/v1/namespaces/ns/secrets": {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []},
        **objects,
    }


@contextmanager
def stub(folder: Path, objects: dict[str, Any]) -> Iterator[Path]:
    """A kubeconfig in `folder` for an API that holds `objects` (path to object) while the block runs."""
    pages = _pages(objects)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path.partition("?")[0])
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            body = json.dumps(missing if found is None else found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, args=(STOP_POLL_SECONDS,))
        thread.start()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stub",
            "clusters": [{"name": "stub", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "stub", "user": {}}],
            "contexts": [{"name": "stub", "context": {"cluster": "stub", "user": "stub"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config))
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
