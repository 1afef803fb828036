"""What answers without end say, for `openapi.py`: the events of each stream, by name, and what their data is.

Why it exists: OpenAPI has no words for server-sent events, and calls such an answer a text. Here each stream names its
events in `x-events`, which tools pass over and people read; a test holds the node to it. Only facts.
"""

from node.api.openapi_schemas import BASE64, COUNT, FLAG, TEXT, Schema, either, record, ref, table

_NAMED: dict[str, Schema] = {"key": either(TEXT, {"type": "null"}), "key_base64": BASE64, "revision": COUNT}

STREAM_SCHEMAS: dict[str, Schema] = {
    "Watching": record({"revision": COUNT}),
    "KeyPut": record(
        {
            **_NAMED,
            "value": either(TEXT, {"type": "null"}),
            "value_base64": BASE64,
            "create_revision": COUNT,
            "version": COUNT,
        }
    ),
    "KeyDeleted": record(_NAMED),
    "HistoryGone": record({"compact_revision": COUNT, "message": TEXT}),
    "NoLeader": record({"message": TEXT}),
    "TraceEvent": record(
        {
            **dict.fromkeys(("seq", "time_us", "term"), COUNT),
            **dict.fromkeys(("node", "kind", "role"), TEXT),
            "detail": table(either(TEXT, {"type": "integer"}, FLAG)),
        }
    ),
    "EventsLost": record({"transitions": COUNT, "messages": COUNT}),
    "EventsLeftOut": record({"left_out": COUNT}),
}

WATCH_EVENTS = {
    "watching": "Watching",
    "put": "KeyPut",
    "delete": "KeyDeleted",
    "compacted": "HistoryGone",
    "no-leader": "NoLeader",
}
"""Of `/kv/?watch=1`. The id of an event is the revision up to which all was told then."""

TRACE_EVENTS = {"message": "TraceEvent", "lost": "EventsLost", "sampled": "EventsLeftOut"}
"""Of `/events`; `message`: events without a name, which browsers call so."""


def event_stream(events: dict[str, str]) -> Schema:
    """The content of such an answer."""
    return {"text/event-stream": {"schema": TEXT, "x-events": {name: ref(schema) for name, schema in events.items()}}}


def lines_of(name: str) -> str:
    """What is said of an answer that is a line of JSON after the other."""
    return f"done; without an end: a line of JSON for each {name}"
