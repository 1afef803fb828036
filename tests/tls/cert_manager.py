"""A real cert-manager: where its controller is, how it is started, and what the guide has people give it.

Why it exists: tests on Kubernetes and on an API server alone use the same. `CERT_MANAGER` names a clone of it in which
the controller was built:

    git clone https://github.com/cert-manager/cert-manager && (cd cert-manager/cmd/controller && go build)
    export CERT_MANAGER=$PWD/cert-manager

It runs beside the API server and acts in one namespace. It needs no webhook, for what it is given is what the chart and
docs/operations.md write.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.docs.blocks import blocks

FOLDER = os.environ.get("CERT_MANAGER", "")
WHY_NOT = "" if FOLDER else "no cert-manager: build its controller, and name the clone in CERT_MANAGER"
KINDS = Path(FOLDER) / "deploy" / "crds"
PROGRAM = Path(FOLDER) / "cmd" / "controller" / "controller-binary"

ISSUER, CLIENT = "raft", "raft-client"
"""Of the guide: who signs, and the Certificate and Secret of a client."""
TWO_MINUTES = {"duration": "1h", "renewBefore": "58m"}
"""A certificate is renewed when it is two minutes old."""


def controller(kubeconfig: str, namespace: str) -> tuple[str, ...]:
    """Its command line."""
    assert PROGRAM.is_file(), f"{PROGRAM} is not there: run `go build` in {PROGRAM.parent}"
    listens = ("--metrics-listen-address=127.0.0.1:0", "--internal-healthz-listen-address=127.0.0.1:0")
    return (str(PROGRAM), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}", "--leader-elect=false", *listens)


def authority() -> list[dict[str, Any]]:
    """What the guide applies."""
    [block] = [one for one in blocks("docs/operations.md") if "kind: Issuer" in one.text]
    return list(yaml.safe_load_all(block.text.partition("<<'END'\n")[2].partition("\nEND\n")[0]))


def asked_to_renew(certificate: dict[str, Any]) -> dict[str, Any]:
    """A patch of its status, as `cmctl renew` makes it."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "lastTransitionTime": moment}
    return {"status": {"conditions": [*certificate["status"]["conditions"], asked]}}
