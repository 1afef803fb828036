"""What a Prometheus finds in Kubernetes, for one that was built without that part, as Debian's is: a program that runs
in its pod, and serves targets with the labels that the real part gives them, pods by /pod and endpoints by /endpoints.

Why it exists: what the operator made is relabelling by these labels, and must meet them as they are. Standard library
alone; it is never imported.
"""

import json
import re
import ssl
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

PORT = 9091
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SECONDS_MAX = 10
META = "__meta_kubernetes"
Object = dict[str, Any]


def listed(kind: str) -> list[Object]:
    """Of this namespace."""
    url = f"https://kubernetes.default.svc/api/v1/namespaces/{(ACCOUNT / 'namespace').read_text()}/{kind}"
    asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"})
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # authorities of clusters do not always say what their key is for
    with urllib.request.urlopen(asked, timeout=SECONDS_MAX, context=context) as answer:
        items: list[Object] = json.load(answer)["items"]
        return items


def labels(what: str, metadata: Object) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in metadata.get("labels", {}).items():
        name = re.sub(r"[^a-zA-Z0-9_]", "_", key)
        found |= {f"{META}_{what}_label_{name}": value, f"{META}_{what}_labelpresent_{name}": "true"}
    return found


def of_pod(pod: Object) -> dict[str, str]:
    metadata = pod["metadata"]
    own = {"namespace": metadata["namespace"], "pod_name": metadata["name"], "pod_phase": pod["status"]["phase"]}
    return {f"{META}_{name}": value for name, value in own.items()} | labels("pod", metadata)


def pods() -> list[Object]:
    """A target for each port of each container."""
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{port['containerPort']}"],
            "labels": of_pod(pod)
            | {f"{META}_pod_container_name": container["name"]}
            | {f"{META}_pod_container_port_name": port.get("name", "")},
        }
        for pod in listed("pods")
        if pod["status"].get("podIP")
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    ]


def endpoints() -> list[Object]:
    """A target for each port of each address, ready or not."""
    known = {pod["metadata"]["name"]: of_pod(pod) for pod in listed("pods")}
    services = {one["metadata"]["name"]: labels("service", one["metadata"]) for one in listed("services")}
    return [
        {
            "targets": [f"{address['ip']}:{port['port']}"],
            "labels": known.get(address.get("targetRef", {}).get("name", ""), {})
            | services.get(one["metadata"]["name"], {})
            | {
                f"{META}_namespace": one["metadata"]["namespace"],
                f"{META}_service_name": one["metadata"]["name"],
                f"{META}_endpoint_port_name": port.get("name", ""),
                f"{META}_endpoint_address_target_kind": address.get("targetRef", {}).get("kind", ""),
                f"{META}_endpoint_address_target_name": address.get("targetRef", {}).get("name", ""),
            },
        }
        for one in listed("endpoints")
        for subset in one.get("subsets") or []
        for address in [*(subset.get("addresses") or []), *(subset.get("notReadyAddresses") or [])]
        for port in subset.get("ports") or []
    ]


class Serving(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"/pod": pods, "/endpoints": endpoints}[self.path]()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", PORT), Serving).serve_forever()
