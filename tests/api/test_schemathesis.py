"""A live node keeps to its own /openapi.json, whatever is generated from it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.etcd.processes import running_node

SECONDS = 30
ENDLESS = (
    "/events",
    "/v3/watch",
    "/kv/",
    "/v3/lock/lock",
    "/v3/election/campaign",
    "/v3/election/observe",
    "/v3/lease/keepalive",
)
"""Answers that may go on for ever, or are lines of JSON, or none; what `/kv/` answers otherwise, `/kv` does too."""
FAILING = ("/v3/lock/unlock", "/v3/election/leader", "/v3/election/proclaim", "/v3/election/resign")
"""What is wrong with a request has no code of its own there: it is a 500, as in etcd, to this tool an error of ours."""
SEED = 1
"""The same requests every time, so that a failure tells of a change; another number asks other things."""
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance", "allow_header_conformance"),
)


@pytest.mark.slowest
@pytest.mark.timeout(SECONDS * 8)
def test_a_live_node_keeps_to_its_description(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    config = Path(__file__).with_name("schemathesis.toml")
    with running_node(tmp_path) as port:
        url = f"http://127.0.0.1:{port}/openapi.json"
        command: list[str | Path] = [program, "--config-file", config, "run", url, f"--checks={','.join(CHECKS)}"]
        command += [f"--exclude-path={path}" for path in (*ENDLESS, *FAILING)]
        command += ["--phases=coverage,fuzzing", "--max-examples=50", "--warnings=off"]
        command += ["--suppress-health-check=all"]  # what it says of its own requests, not of answers
        command += [f"--max-time={SECONDS}", f"--seed={SEED}", "--request-timeout=20"]
        command += ["--generation-database=none", "--no-color"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "/openapi.json" in done.stdout
