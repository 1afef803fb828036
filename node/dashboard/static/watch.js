/**
 * Reads a watch: server-sent events, taken from the body of an answer as it comes.
 *
 * Why it exists: a browser's own EventSource makes an object and a call of each event (50 microseconds), so a burst of
 * changes that waits in the connection is one long task; and it does not say why it was refused. Here a piece of the body
 * is cut in one go. It goes on after a break from the revision up to which all was heard. It must not know what changes mean.
 */

const AGAIN_MS = 1000;

/** A longer event is none of a node's: a value has a mebibyte, and is said twice. */
const LETTERS_MAX = 8 * 1024 * 1024;

const KINDS = new Set(["put", "delete"]);

/** The whole events of `text`, as `{ kind, id, data }`, and what is left of it. */
export function cut(text) {
  const blocks = text.split("\n\n");
  const rest = blocks.pop();
  return { rest, events: blocks.map(event) };
}

function event(block) {
  const found = { kind: "", id: "", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("data: ")) found.data = line.slice(6);
    else if (line.startsWith("event: ")) found.kind = line.slice(7);
    else if (line.startsWith("id: ")) found.id = line.slice(4);
  }
  return found;
}

/**
 * Follow from `revision` on what `ask(revision, signal)` answers, until what is returned is called. `on` has open,
 * change(kind, data, id), ended(message) where the server says why there is no more, and lost(again) where the
 * connection broke: `again` if no other was had since; otherwise it goes on by itself. `later(run, ms)` is a timer.
 */
export function follow(ask, later, revision, on) {
  const over = new AbortController();
  let next = revision;
  let broken = false;

  async function once() {
    const answer = await ask(next, over.signal);
    if (!answer.ok) {
      const said = await answer.json().catch(() => null);
      return end(said?.message ?? `HTTP ${answer.status}`);
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let left = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || over.signal.aborted) return undefined;
      const { rest, events } = cut(left + value);
      if (rest.length > LETTERS_MAX) throw new Error("an event is too long");
      left = rest;
      for (const one of events) if (!take(one)) return undefined;
    }
  }

  /** Whether there may be more. */
  function take({ kind, id, data }) {
    if (over.signal.aborted) return false;
    if (kind === "watching") {
      broken = false;
      on.open();
    } else if (KINDS.has(kind)) on.change(kind, data, id);
    else if (kind) return end(JSON.parse(data).message);
    if (id) next = Number(id) + 1;
    return true;
  }

  function end(message) {
    const first = !over.signal.aborted;
    over.abort();
    if (first) on.ended(message);
    return false;
  }

  async function go() {
    try {
      await once();
    } catch {
      // whatever broke: it is tried again
    }
    if (over.signal.aborted) return;
    later(() => over.signal.aborted || go(), AGAIN_MS);
    const again = broken;
    broken = true;
    on.lost(again);
  }

  go();
  return () => over.abort();
}
