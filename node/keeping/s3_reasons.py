"""Why a storage that speaks S3 did not do what it was asked: one sentence of what its client says.

Why it exists: that text goes on for lines, begins with what the reader knows, and has the cause near its end. Who reads
a Job's log at night needs the cause. It knows texts alone, and must not touch a storage.
"""

import os
import re
from urllib.parse import urlsplit

ENDPOINT = "AWS_ENDPOINT_URL"
SENTENCE_CHARS_MAX = 300
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_WORDS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION")
_STATUS = re.compile(r"non-2xx status code: ([0-9]{3}[A-Za-z ]*)")
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")
_UNHEARD = re.compile(r"kind: (Timeout|Connect)\b")
_CAUSE = re.compile(r'\b(?:message|error): ("[^"]+"|[A-Z]\w+\(\w+\))')
_OF_A_MACHINE = "169.254.169.254"
"""Where clients ask for credentials who were given none: machines of Amazon's answer there."""


def reason(said: str) -> str:
    """`said`: the whole text of the client's error."""
    found = _reason(said).replace("\n", " ")
    return found if len(found) <= SENTENCE_CHARS_MAX else f"{found[:SENTENCE_CHARS_MAX]}..."


def trouble() -> str:
    """What is wrong with the environment, before anybody is asked; empty: nothing. The client would end the process
    for it, with a report of its own."""
    for name in _WORDS:
        if re.search(r"[\x00-\x20\x7f]", os.environ.get(name, "")):
            return f"{name} holds a blank or the end of a line, as a Secret that was made of a file does: take it out"
    endpoint = os.environ.get(ENDPOINT, "")
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port  # a port that is none raises
        if not endpoint or (parts.scheme in ("http", "https") and host and not re.search(r"\s", endpoint)):
            return ""
    except ValueError:
        pass
    return f"{ENDPOINT} is {endpoint!r}: write http:// or https://, a host, and its port where it has one"


def _reason(said: str) -> str:
    if _OF_A_MACHINE in said:
        return f"there are no credentials: set {_CREDENTIALS}"
    endpoint = os.environ.get(ENDPOINT) or "Amazon's S3"
    if (status := _STATUS.search(said)) is not None:
        return _answered(endpoint, status[1].strip(), said)
    if (unheard := _UNHEARD.search(said)) is not None:
        if unheard[1] == "Timeout":
            return f"{endpoint} did not answer in time"
        causes: list[str] = _CAUSE.findall(said)
        return ": ".join((f"{endpoint} cannot be reached", *(cause.strip('"') for cause in causes[-1:])))
    return said.split("\n")[0]


def _answered(endpoint: str, status: str, said: str) -> str:
    code, message = _CODE.search(said), _MESSAGE.search(said)
    words = ", ".join((status, *((code[1],) if code else ())))
    told = f"{endpoint} answered {words}{f': {message[1].rstrip(chr(46))}' if message else ''}"
    return f"{told}; look at {_CREDENTIALS}" if status.startswith(("401", "403")) else told
