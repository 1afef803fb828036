/**
 * Where the page's figures come from: one node, or the cluster monitor; in both cases the server that served the page.
 *
 * Why it exists: the views do not care which; only paths and abilities differ. It must not keep state of the cluster.
 */

import { follow } from "./watch.js";

const TIMEOUT_MS = 6000;
const COMMAND_TIMEOUT_MS = 15_000;
const RETRY_MS = 2000;
export const MESSAGES_PER_SECOND = 40;

/** An answer that is an error; `status` 0: no answer. */
export class Failure extends Error {
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** Aborted once somebody logs out: what is asked without a login would only be refused. */
const over = new AbortController();
const never = () => new Promise(() => {});

async function ask(path, options = {}, timeout = TIMEOUT_MS) {
  if (over.signal.aborted) return never();
  try {
    const signal = AbortSignal.any([AbortSignal.timeout(timeout), over.signal]);
    const answer = await fetch(path, { ...options, cache: "no-store", signal });
    if (answer.status === 401) location.reload(); // the login is over: the server shows its form
    return answer;
  } catch (error) {
    if (over.signal.aborted) return never();
    const why = error.name === "TimeoutError" ? `no answer within ${timeout / 1000} s` : "no connection to the server of this page";
    throw new Failure(0, why);
  }
}

async function json(path, options, timeout) {
  const answer = await ask(path, options, timeout);
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Failure(answer.status, body?.message ?? `HTTP ${answer.status}`, body);
  return body;
}

const post = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** Ask the server whose page this is. */
export async function connect() {
  const source = await json("/source.json");
  return source.kind === "monitor" ? new MonitorSource() : new NodeSource(source.name, source.who);
}

/** The browser forgets who it is, and is shown the login. */
export async function logOut() {
  over.abort();
  await fetch("/logout", { method: "POST", cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) }).catch(() => null);
  location.reload();
}

class Source {
  /** Before a node's own routes. */
  path(_node) {
    return "";
  }

  cluster() {
    return json("/cluster");
  }

  /** The last `count` entries, and how far the log is at that moment. */
  log(node, count) {
    return json(`${this.path(node)}/log?last=${count}`);
  }

  stats(node) {
    return json(`${this.path(node)}/stats`);
  }

  members(node) {
    return json(`${this.path(node)}/members`);
  }

  commands(node) {
    return json(`${this.path(node)}/commands`);
  }

  /** Live events of `node`; `on` has open, lost, event(event, id), sampled(count), gap(transitions, messages). Returns a function that ends it. */
  stream(node, on) {
    let feed = null;
    let timer = 0;
    const open = () => {
      feed = new EventSource(`${this.path(node)}/events?messages=1&rate=${MESSAGES_PER_SECOND}`);
      feed.onopen = () => on.open();
      feed.onmessage = ({ data, lastEventId }) => on.event(JSON.parse(data), lastEventId);
      feed.addEventListener("sampled", ({ data }) => on.sampled(JSON.parse(data).left_out));
      feed.addEventListener("lost", ({ data }) => {
        const gone = JSON.parse(data);
        on.gap(gone.transitions, gone.messages);
      });
      feed.onerror = () => {
        on.lost();
        if (feed.readyState !== EventSource.CLOSED) return; // it tries again by itself
        clearTimeout(timer);
        timer = setTimeout(open, RETRY_MS);
      };
    };
    open();
    return () => {
      clearTimeout(timer);
      feed.close();
    };
  }

  // The store: through this node, or through the monitor, which tries whoever answers

  list(prefix, limit) {
    return json(`/kv/?prefix=${encodeURIComponent(prefix)}&limit=${limit}`);
  }

  /**
   * Changes of keys from `revision` on, for `on` as `follow` has it; returns what ends it. (A browser has six connections
   * to a server, this is one of them: a page that nobody sees must end it.)
   */
  watch(prefix, revision, on) {
    const path = `/kv/?prefix=${encodeURIComponent(prefix)}&watch=1`;
    const ask = (from, signal) =>
      over.signal.aborted ? never() : fetch(`${path}&revision=${from}`, { cache: "no-store", signal: AbortSignal.any([signal, over.signal]) });
    return follow(ask, setTimeout, revision, on);
  }

  /** {bytes, revision} */
  async get(keyPath) {
    const answer = await ask(`/kv/${keyPath}`);
    if (!answer.ok) {
      const body = await answer.json().catch(() => null);
      throw new Failure(answer.status, body?.message ?? `HTTP ${answer.status}`, body);
    }
    return { bytes: new Uint8Array(await answer.arrayBuffer()), revision: answer.headers.get("ETag")?.replaceAll('"', "") ?? "" };
  }

  put(keyPath, value) {
    return json(`/kv/${keyPath}`, { method: "PUT", body: value });
  }

  remove(keyPath) {
    return json(`/kv/${keyPath}`, { method: "DELETE" });
  }
}

/** One node's page: its own log, figures and events; commands to others go through it. */
class NodeSource extends Source {
  constructor(name, who = "") {
    super();
    this.kind = "node";
    this.name = name;
    this.who = who;
  }

  /** By its name, also where it is this page's own: a balancer may lead the request to another one. */
  run(node, command, args) {
    return json(`/commands/${command}?node=${encodeURIComponent(node)}`, post(args), COMMAND_TIMEOUT_MS);
  }
}

/** The cluster monitor: every node behind its own path, and dead ones can be started. */
class MonitorSource extends Source {
  constructor() {
    super();
    this.kind = "monitor";
    this.name = "";
    this.who = "";
  }

  path(node) {
    return `/nodes/${encodeURIComponent(node)}`;
  }

  run(node, command, args) {
    return json(`${this.path(node)}/commands/${command}`, post(args), COMMAND_TIMEOUT_MS);
  }

  start(node) {
    return json(`${this.path(node)}/start`, post({}), COMMAND_TIMEOUT_MS);
  }

  /** One more process, which asks to be let in. */
  addNode() {
    return json("/nodes", post({}), COMMAND_TIMEOUT_MS);
  }

  /** End the process of a node that was removed from the cluster. */
  retire(node) {
    return json(`${this.path(node)}/retire`, post({}), COMMAND_TIMEOUT_MS);
  }

  /** The end of what the process wrote, as text. */
  async output(node, lines) {
    const answer = await ask(`${this.path(node)}/output?tail=${lines}`);
    const text = await answer.text();
    if (!answer.ok) throw new Failure(answer.status, `HTTP ${answer.status}`);
    if (!(answer.headers.get("Content-Type") ?? "").includes("json")) return text;
    const body = JSON.parse(text);
    return body.text ?? (body.lines ?? []).join("\n");
  }
}
