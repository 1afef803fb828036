/**
 * The keys that the panel lists, as a pure reducer: the list of one moment, and every change since, in order.
 *
 * Why it exists: a watch tells what happened to any key of a store of any size, and the page shows a bounded number of
 * them, the first ones. Whether a change is among those, how many keys there are now, and when the list must be read
 * anew is decided here, so that it can be tested without a browser. It must not touch the document, the network or a clock.
 */
import { duration, whole } from "./sentences.js";

export const KEYS_SHOWN = 50;

/** Changes of one revision that are held until all of it is there; a longer revision is read, not followed. */
export const HELD_MAX = 5000;

export function initialKeys(prefix) {
  return {
    prefix,
    phase: "listing", // or "live", or "lost": then `why` says why
    why: "",
    at: 0, // when the list was last known to be of the present
    revision: 0, // up to which all is in it
    count: 0,
    rows: [],
    edge: null, // the list is whole up to this key; null: it has all
    held: [],
    wants: false, // whether it must be read anew
    behind: false, // whether changes came faster than they could be taken
  };
}

export function reduceKeys(state, action) {
  switch (action.type) {
    case "listed":
      return listed(state, action);
    case "changes":
      return changed(state, action);
    case "watching":
      return { ...state, phase: "live", why: "", at: action.at, held: [] };
    case "overflow":
      return { ...state, wants: true, behind: true, held: [] };
    case "compacted":
      return { ...state, wants: true, held: [] };
    case "lost":
      return { ...state, phase: "lost", why: action.message, at: state.phase === "live" ? action.at : state.at, held: [] };
    default:
      return state;
  }
}

/** Bytes in the order of the store: of a string of bytes the letters are in that order. */
const orderOf = (base64) => atob(base64);

function listed(state, { body, at }) {
  const rows = body.keys.map((one) => ({
    order: orderOf(one.key_base64),
    key: one.key,
    key_base64: one.key_base64,
    bytes: one.value_bytes,
    revision: one.mod_revision,
    version: one.version,
  }));
  const edge = body.more && rows.length ? rows.at(-1).order : null;
  const { phase } = state;
  return { ...state, phase: phase === "lost" ? "listing" : phase, why: "", at, revision: body.revision, count: body.count, rows, edge, held: [], wants: false, behind: false };
}

/** What came of the watch since the last time: `{ kind, said, id }` each. The last change of a revision has its number as `id`. */
function changed(state, { changes, at }) {
  const next = { ...state, rows: [...state.rows], held: [...state.held], at };
  for (const change of changes) {
    if (change.said.revision <= state.revision) continue; // the list has it
    next.held.push(change);
    if (Number(change.id) === change.said.revision) {
      for (const one of next.held) apply(next, one);
      next.held = [];
    } else if (next.held.length >= HELD_MAX) {
      return { ...state, at, wants: true, held: [] };
    }
  }
  if (next.edge !== null && next.count <= next.rows.length) next.edge = null;
  next.wants = next.wants || (next.edge !== null && next.rows.length < KEYS_SHOWN);
  return next;
}

function apply(next, { kind, said }) {
  next.revision = said.revision;
  if (kind === "delete") next.count = Math.max(0, next.count - 1);
  else if (said.version === 1) next.count += 1;
  const order = orderOf(said.key_base64);
  if (next.edge !== null && order > next.edge) return;
  const at = placeOf(next.rows, order);
  const there = next.rows[at]?.order === order;
  if (kind === "delete") {
    if (there) next.rows.splice(at, 1);
    return;
  }
  const row = { order, key: said.key, key_base64: said.key_base64, bytes: sizeOf(said.value_base64), revision: said.revision, version: said.version };
  next.rows.splice(at, there ? 1 : 0, row);
  if (next.rows.length > KEYS_SHOWN) {
    next.rows.pop();
    next.edge = next.rows.at(-1).order;
  }
}

/** Where it is, or belongs. */
function placeOf(rows, order) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].order < order) low = middle + 1;
    else high = middle;
  }
  return low;
}

const sizeOf = (base64) => (base64.length / 4) * 3 - (base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0);

/** What stands above the list: `{ words, trouble }`. */
export function noteOf(state, now) {
  const { revision, rows, count } = state;
  if (state.phase === "lost") {
    const old = revision ? `; what is listed is ${duration(now - state.at)} old, revision ${revision}` : "";
    return { words: `Could not load the keys: ${state.why}${old}. Trying again.`, trouble: true };
  }
  if (!revision) return { words: "Reading the keys …", trouble: false };
  const all = `${whole(count)} key${count === 1 ? "" : "s"}`;
  const shown = count > rows.length ? `, the first ${rows.length} shown` : "";
  const how = state.behind ? ", changing too fast to show each change" : state.phase === "live" ? ", live" : "";
  return { words: `${all}${shown}, revision ${revision}${how}`, trouble: false };
}
