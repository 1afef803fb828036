"""Who the tool is and where the API server answers: a kubeconfig context, or the ServiceAccount of a pod.

Why it exists: kubeconfigs know credential plugins, certificates, proxies and tokens that rotate; the `kubernetes`
package reads all of that. What is taken from it is an address, a TLS context and a header. It must not talk to the API
server.
"""

import asyncio
import contextlib
import functools
import os
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies_environment

from kubernetes import config
from kubernetes.client import Configuration, rest
from kubernetes.config.config_exception import ConfigException

from chaos.errors import Refused, Usage

DEFAULT_NAMESPACE = "default"
TOKEN_FRESH_SECONDS = 20.0
"""A token is renewed minutes before it expires, so this is early enough."""
T = TypeVar("T")
_reader: Any = config
"""Has no types."""
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _is_excepted(host: str, configuration: Any) -> bool:
    """Whether NO_PROXY has it: it is no word about a proxy that the kubeconfig names, as with kubectl."""
    no_proxy = getattr(configuration, "no_proxy", None) or ""
    if not no_proxy or configuration.proxy not in getproxies_environment().values():
        return False
    matches = getattr(rest, "should_bypass_proxies", None)  # younger than the oldest version that will do
    return matches is not None and bool(matches(host, no_proxy))


class Account:
    """`context`: for people; `namespace`: the one that the context names; `token_file`: holds the token, if one."""

    def __init__(self, configuration: Any, context: str, namespace: str, token_file: Path | None = None) -> None:
        self._configuration = configuration
        self._token_file = token_file
        self.context = context
        self.namespace = namespace
        self.host: str = configuration.host.rstrip("/")
        self.proxy: str | None = None if _is_excepted(self.host, configuration) else configuration.proxy
        self.server_name: str | None = configuration.tls_server_name
        self.tls = _tls(configuration) if self.host.startswith("https") else None

        self._headers: Mapping[str, str] = {}
        self._read_at = -TOKEN_FRESH_SECONDS
        self._reading = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """Who asks. Read anew now and then: tokens rotate, and a credential plugin may have to be run again."""
        async with self._reading:
            now = asyncio.get_running_loop().time()
            if now - self._read_at >= TOKEN_FRESH_SECONDS:
                key = await _in_thread(self._key)
                self._headers = {"Authorization": key} if key else {}
                self._read_at = now
        return self._headers

    def _key(self) -> str:
        if self._token_file is not None:  # the package reads it once, and keeps the end of its line
            try:
                return f"Bearer {self._token_file.read_text().strip()}"
            except (OSError, UnicodeDecodeError):  # it is being replaced, and the one before may still hold
                if self._headers:
                    return self._headers["Authorization"]
        return str(self._configuration.get_api_key_with_prefix("BearerToken", "authorization") or "").strip()


async def open_account(context: str | None) -> Account:
    """Of this kubeconfig context, else of the current one, else of the pod that the tool runs in."""
    return await _in_thread(_open, context)


async def _in_thread(call: Callable[..., T], *arguments: object) -> T:
    """Off the loop, for credential plugins are programs; one that hangs keeps nobody from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: Callable[[], None]) -> None:
        if not future.done():
            result()

    def work() -> None:
        try:
            value = call(*arguments)
            result = functools.partial(future.set_result, value)
        except BaseException as error:
            result = functools.partial(future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=work, name="read the account", daemon=True).start()
    return await future


def _open(context: str | None) -> Account:
    configuration = Configuration()
    files = os.environ.get("KUBECONFIG") or str(_reader.KUBE_CONFIG_DEFAULT_LOCATION)
    if not any(_is_there(file) for file in files.split(os.pathsep) if file):
        return _in_cluster(configuration, context, files)
    try:
        contexts, current = _reader.list_kube_config_contexts(files)
        chosen = next((one for one in contexts if one["name"] == context), None) if context else current
        if chosen is None:
            known = ", ".join(sorted(one["name"] for one in contexts))
            raise Usage(f"There is no context {context!r} in {files}; it knows: {known}.")
        _reader.load_kube_config(files, context=chosen["name"], client_configuration=configuration)
        token_file = _token_file_of(files, chosen["context"].get("user"))
    except Usage:
        raise
    except Exception as error:  # whatever its parsers of YAML, base64 and JSON raise
        raise Refused(f"The kubeconfig {files} cannot be used: {error}. Try `kubectl config view`.") from error
    namespace = chosen["context"].get("namespace") or DEFAULT_NAMESPACE
    return _made(configuration, str(chosen["name"]), str(namespace), token_file)


def _token_file_of(files: str, user: str | None) -> Path | None:
    """Relative to the kubeconfig that names it."""
    for one in _reader.kube_config.KubeConfigMerger(files).config.safe_get("users") or ():
        name = (one.value.get("user") or {}).get("tokenFile")
        if one.value.get("name") == user and name:
            return Path(one.path).parent / str(name)
    return None


def _is_there(file: str) -> bool:
    try:
        return Path(file).expanduser().exists()
    except RuntimeError:  # nobody knows the home folder
        return False
    except OSError as error:
        raise Refused(f"The kubeconfig {file} cannot be looked at: {error.strerror}; set KUBECONFIG.") from None


def _in_cluster(configuration: Any, context: str | None, files: str) -> Account:
    try:
        _reader.load_incluster_config(client_configuration=configuration)
        namespace = _POD_NAMESPACE.read_text().strip()
    except (ConfigException, OSError) as error:
        raise Refused(
            f"There is no kubeconfig ({files}) and this is no pod with a ServiceAccount: set KUBECONFIG."
        ) from error
    if context:
        raise Usage(f"There is no kubeconfig ({files}), so there is no context {context!r}.")
    return _made(configuration, "in-cluster", namespace)


def _made(configuration: Any, context: str, namespace: str, token_file: Path | None = None) -> Account:
    try:
        return Account(configuration, context, namespace, token_file)
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"The certificates of context {context} cannot be read: {error}.") from error


def _tls(configuration: Any) -> ssl.SSLContext:
    """Files are read here once: the loader keeps what is inline in temporary files."""
    if configuration.verify_ssl:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    else:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # clusters' authorities were made without what Python 3.13 asks for
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context
