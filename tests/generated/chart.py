"""The chart's part of each setting, made from the node's own table: its value, its schema, its bounds.

Why it exists: a setting is described once, in `node.settings.table`. What the chart decides itself, or sets otherwise
than a node alone would have it, stands here with the reason. It must not repeat a bound or a default.
"""

import textwrap
from typing import Any

from node.settings import SETTINGS, MsRange, Setting

DECIDED = {
    "name",
    "seeds",
    "data_dir",
    "host",
    "port",
    "operations_port",
    "peer_host",
    "peer_port",
    "peer_address",
    "discover",
    "client_url",
    "allowed_hosts",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "tls_accept",
    "operations_tls",
    "peer_tls_cert",
    "peer_tls_key",
    "peer_tls_ca",
    "peer_tls_accept",
    "peer_tls_dial",
    "tokens_file",
    "auto_members",
    "chance_seed",
    "exit_with_parent",
}
"""What a pod is told by its place in the chart; `_refusals.tpl` says why, to whoever sets one."""

SIZED = ("max_log_bytes", "snapshot_bytes", "quota_bytes")
"""What is empty in values.yaml, and then what `size` says (deploy/helm/files/sizes.yaml)."""

OTHER_DEFAULTS = {"election_timeout_ms": "500-1000", "leave_wait_ms": "5000", **dict.fromkeys(SIZED, "")}

REASONS = {
    "audit": "Without tokens nobody is known, and nothing is told.",
    "election_timeout_ms": "Above a node's own 150-300, because CPU limits and busy machines stall a container for "
    "100 ms and more; at least 1.5 heartbeats.",
    "request_timeout_ms": "A leaving pod waits for such requests.",
    "leave_wait_ms": "Not 0 as for a node alone: endpoints and proxies lag behind a pod's readiness.",
    "max_log_bytes": "It decides how much memory and disk a node needs (resources, persistence).",
    "segment_bytes": "A multiple of 512.",
    "otlp_endpoint": 'The image needs the extra: `make image EXTRAS="s3 otel"`.',
    "enable_faults": "For teaching and for tests.",
    "wait_in_initial": "For teaching: no pod becomes ready by itself.",
}
"""What more there is to say in Kubernetes."""

COLUMNS = 118

OFFERED = tuple(row for row in SETTINGS if row.key not in DECIDED)


def values() -> str:
    """The keys of `settings:` in values.yaml, each under its comment."""
    return "\n".join(line for row in OFFERED for line in (*_comment(row), f"  {row.key}: {_default(row)}"))


def schema() -> dict[str, Any]:
    """What values.schema.json says of `settings`."""
    decided = {"description": "decided by the chart; a template refuses it with a sentence"}
    properties = {row.key: _type(row) for row in OFFERED}
    properties.update({row.key: decided for row in SETTINGS if row.key in DECIDED})
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [],
        "properties": properties,
    }


def size_bounds() -> str:
    """The ends of every size, for the template that reads units."""
    return "\n".join(
        f"{row.key}: [{row.show(row.low)}, {row.show(row.high)}]" for row in OFFERED if row.key.endswith("_bytes")
    )


def _comment(row: Setting) -> list[str]:
    said = f"{row.help[0].upper()}{row.help[1:]}"
    bounds = "" if row.type is MsRange or not row.bounds else f" ({row.bounds})"
    sized = "Empty: what `size` says." if row.key in SIZED else ""
    text = " ".join(part for part in (f"{said}{bounds}.", REASONS.get(row.key), sized) if part)
    return textwrap.wrap(text, COLUMNS, initial_indent="  # ", subsequent_indent="  # ", break_on_hyphens=False)


def _default(row: Setting) -> str:
    default = OTHER_DEFAULTS.get(row.key, row.default or "")
    return f'"{default}"' if row.type is MsRange or not default else default


def _type(row: Setting) -> dict[str, Any]:
    if row.choices:
        return {"enum": list(row.choices)}
    if row.type is str:
        return {"type": "string"}
    if row.type is bool:
        return {"type": "boolean"}
    if row.type is MsRange:
        both = "both ends; a template refuses what is no range with a sentence"
        return {"type": ["string", "integer"], "description": both}
    if row.key.endswith("_bytes"):
        size = "bytes; a template refuses what is no size with a sentence"
        return {"type": ["integer", "string"], "minimum": 1, "description": size}
    return {"type": "integer", "minimum": row.low, "maximum": row.high}
