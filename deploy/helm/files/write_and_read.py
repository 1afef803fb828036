"""`helm test`: what is written through any pod is read through every pod, and one of them leads.

Why it exists: a release whose pods are ready may still be unreachable by its names or through its policies. It runs in
a pod of its own with the node's image and needs the standard library alone. Environment: ENDPOINTS, the URLs of
all pods; SERVICE, the URL of the clients' Service; RUN, a text that no other run has; TIMEOUT_SECONDS; for https
RAFT_CACERT, and RAFT_CERT with RAFT_KEY where nodes demand a certificate; RAFT_TOKEN_FILE where they ask for a token.
"""

import http.client
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request

ANSWER_SECONDS = 10.0
PAUSE_SECONDS = 0.5
TOKEN_CHARACTERS_MAX = 4096


class Again(Exception):
    """Not yet: the message says what was the matter."""


def trusted():
    """Whom https believes, and what it shows; None: the machine's own authorities, and nothing."""
    if not os.environ.get("RAFT_CACERT"):
        return None
    path = os.environ["RAFT_CACERT"]
    try:
        made = ssl.create_default_context(cafile=path)
        path = os.environ.get("RAFT_CERT")
        if path:
            made.load_cert_chain(path, os.environ["RAFT_KEY"])
    except (OSError, ValueError) as error:
        sys.exit(f"FAILED: {path} is of no use ({error}): the Secret of tls must hold ca.crt, tls.crt and its tls.key")
    return made


def token():
    """As headers; none: nobody asks for one, or none is given."""
    path = os.environ.get("RAFT_TOKEN_FILE")
    if not path:
        return {}
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = file.read(TOKEN_CHARACTERS_MAX).strip()
    except OSError as error:
        sys.exit(f"FAILED: {path} cannot be read ({error.strerror}): put a token of role write into auth.clientsSecret")
    if not (found.isascii() and found.isprintable() and found) or " " in found:
        sys.exit(f"FAILED: {path} holds no token: put one of role write into auth.clientsSecret")
    return {"Authorization": f"Bearer {found}"}


TLS, TOKEN = trusted(), token()


def ask(method, url, body=None):
    """The answer's body, None for 404 (nothing there, or deleted by the try before); raises Again for what may pass."""
    request = urllib.request.Request(url, data=body, method=method, headers=TOKEN)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS, context=TLS) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        if error.code == 404 and method != "PUT":
            return None
        raise Again(f"{method} {url}: {error.code} {error.read(200).decode(errors='replace')}") from None
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None)  # of a refused handshake it is but a name, and the error says more
        raise Again(f"{method} {url}: {cause if isinstance(cause, Exception) else error}") from None


def patiently(deadline, act, *arguments):
    """`act` until it works; ends the program with the last trouble where the time is over."""
    while True:
        try:
            return act(*arguments)
        except Again as trouble:
            if time.monotonic() > deadline:
                sys.exit(f"FAILED: {trouble}")
            time.sleep(PAUSE_SECONDS)


def same(url, expected):
    """End the program unless `url` holds `expected`: reads are linearizable, so the first answer must be it."""
    found = ask("GET", url)
    if found != expected:
        sys.exit(f"FAILED: GET {url} answered {found!r} after {expected!r} was acknowledged: a stale read")


def leaders(endpoints):
    """The one leader that all nodes name; raises Again while they do not agree."""
    told = [json.loads(ask("GET", f"{endpoint}/status")) for endpoint in endpoints]
    names = {status["leader"] for status in told}
    if len(names) != 1 or not names.pop():
        raise Again(f"the nodes do not agree on a leader: {[status['leader'] for status in told]}")
    return told[0]["leader"]


def main():
    endpoints = os.environ["ENDPOINTS"].split(",")
    ways = [*endpoints, os.environ["SERVICE"]]
    run = os.environ["RUN"]
    deadline = time.monotonic() + float(os.environ["TIMEOUT_SECONDS"])
    print(f"leader: {patiently(deadline, leaders, endpoints)}", flush=True)
    for number, way in enumerate(ways):
        path, value = f"/kv/helm-test/{number}", f"{run} through {way}".encode()
        patiently(deadline, ask, "PUT", way + path, value)
        for other in ways:
            patiently(deadline, same, other + path, value)
        patiently(deadline, ask, "DELETE", way + path)
        print(f"written through {way}, read through all {len(ways)}", flush=True)
    print("PASSED", flush=True)


main()
