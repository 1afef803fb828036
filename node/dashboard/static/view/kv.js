/** Reading and writing the store through the server of this page. It says what became of every write, also "unknown". */
import { bytes, duration, whole as digits } from "../sentences.js";
import { h, keyed, say, set } from "./dom.js";

const KEYS_SHOWN = 50;
const VALUE_SHOWN_BYTES = 4096;
const FOLLOW_MS_MIN = 1000;

/** A key as a path: every byte that is not plain is percent-encoded, so that slashes and control bytes survive. */
export function keyPath(octets) {
  return Array.from(octets, (octet) => {
    const letter = String.fromCharCode(octet);
    return /[A-Za-z0-9_~-]/.test(letter) ? letter : `%${octet.toString(16).padStart(2, "0").toUpperCase()}`;
  }).join("").replace(/%2E/g, ".");
}

const octetsOf = (text) => new TextEncoder().encode(text);
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** Bytes as people read them: text where they are UTF-8, else hexadecimal. */
export function shown(octets) {
  const some = octets.subarray(0, VALUE_SHOWN_BYTES);
  const rest = octets.length > some.length ? ` … (${bytes(octets.length)} in all)` : "";
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(rest ? some.subarray(0, VALUE_SHOWN_BYTES - 3) : some, { stream: true }) + rest;
  } catch {
    return Array.from(some.subarray(0, 512), (octet) => octet.toString(16).padStart(2, "0")).join(" ") + rest;
  }
}

export function makeKeyValue(card, box, note, { source }) {
  const key = h("input", { autocomplete: "off", spellcheck: "false" });
  const value = h("input", { autocomplete: "off", spellcheck: "false" });
  const prefix = h("input", { autocomplete: "off", spellcheck: "false", placeholder: "all keys" });
  const said = h("p", { class: "said", role: "status" });
  const whole = h("pre", { class: "value", hidden: true, tabindex: "0", "aria-label": "Value" });
  const keys = h("tbody");
  const act = (label, main, run) => h("button", { type: "button", class: main ? "main" : null, onclick: () => attempt(label, run) }, label);

  const path = (octets) => {
    if (!octets.length) throw new Error("Name a key first.");
    const encoded = keyPath(octets);
    if (encoded === "." || encoded === "..") throw new Error("A browser cannot ask for this key; raft-node get can.");
    return encoded;
  };
  const show = async (octets) => {
    const found = await source.get(path(octets));
    say(whole, shown(found.bytes));
    set(whole, "hidden", null);
    return `revision ${found.revision}, ${bytes(found.bytes.length)}`;
  };
  let loaded = null; // what the list shows: {at, revision, seen}
  let asking = false;
  const list = async () => {
    const found = await source.list(prefix.value, KEYS_SHOWN);
    keyed(keys, found.keys, (one) => one.key_base64, row, (tr, one) => {
      say(tr.children[1], bytes(one.value_bytes));
      say(tr.children[2], String(one.mod_revision));
      say(tr.children[3], String(one.version));
    });
    loaded = { at: Date.now(), revision: found.revision, words: `${digits(found.count)} key${found.count === 1 ? "" : "s"}${found.more ? `, the first ${KEYS_SHOWN} shown` : ""}, revision ${found.revision}` };
    say(note, loaded.words);
    set(note, "class", "muted");
    return `${found.keys.length} listed`;
  };
  const row = (one) => {
    const name = one.key ?? `base64 ${one.key_base64}`;
    const open = () => {
      if (one.key !== null) key.value = one.key;
      attempt(`get ${name}`, () => show(fromBase64(one.key_base64)));
    };
    return h("tr", {}, h("td", {}, h("button", { type: "button", class: "link", onclick: open }, name)), h("td", { class: "num" }), h("td", { class: "num" }), h("td", { class: "num" }));
  };

  async function attempt(what, run) {
    set(said, "class", "said");
    say(said, `${what} …`);
    try {
      say(said, `${what}: ${await run()}`);
      set(said, "class", "said ok");
    } catch (error) {
      const unknown = error.status === 504 || (error.status === 0 && /^(put|delete)/.test(what));
      say(said, `${what}: ${error.message}${unknown ? ". The outcome is unknown: read before you repeat it." : ""}`);
      set(said, "class", "said no");
      if (!what.startsWith("list")) set(whole, "hidden", "");
    }
  }

  const put = async () => {
    const answer = await source.put(path(octetsOf(key.value)), value.value);
    await list().catch(() => {});
    return `done, revision ${answer.revision}`;
  };
  const remove = async () => {
    const answer = await source.remove(path(octetsOf(key.value)));
    set(whole, "hidden", "");
    await list().catch(() => {});
    return `done, revision ${answer.revision}`;
  };
  const enter = (run) => (event) => {
    event.preventDefault();
    run();
  };

  box.append(
    h("div", { class: "kv" },
      h("form", { class: "row", onsubmit: enter(() => attempt("put", put)) },
        h("label", {}, "Key", key), h("label", {}, "Value", value),
        h("button", { type: "submit", class: "main" }, "put"), act("get", false, () => show(octetsOf(key.value))), act("delete", false, remove)),
      said, whole,
      h("form", { class: "row", onsubmit: enter(() => attempt("list", list)) }, h("label", {}, "Keys that begin with", prefix), h("button", { type: "submit" }, "list")),
      h("div", { class: "keys", tabindex: "0", role: "region", "aria-label": "Keys" },
        h("table", {}, h("thead", {}, h("tr", {}, ["Key", "Size", "Revision", "Version"].map((name, i) => h("th", { scope: "col", class: i ? "num" : null }, name)))), keys))),
  );
  /** Says that the list is not what is there, and since when; it is tried again. */
  function failed(error) {
    const old = loaded ? `; what is listed is ${duration(Date.now() - loaded.at)} old, revision ${loaded.revision}` : "";
    say(note, `Could not load the keys: ${error.message}${old}. Trying again.`);
    set(note, "class", "trouble");
  }

  let seen = -1;
  let tried = 0;
  return {
    /** Keys that are listed follow what is applied, at most once in a while; a list that failed is tried again. */
    async follow(state) {
      const applied = Math.max(0, ...(state.cluster?.nodes ?? []).map((node) => (node.state === "reachable" ? (node.status?.applied ?? 0) : 0)));
      const off = Boolean(state.clusterError);
      for (const button of box.querySelectorAll("button")) set(button, "disabled", off ? "" : null);
      if (off) {
        seen = -1;
        return failed(new Error(state.clusterError));
      }
      if (asking || !state.cluster || applied === seen || Date.now() - tried < FOLLOW_MS_MIN) return undefined;
      asking = true;
      tried = Date.now();
      try {
        await list();
        seen = applied;
      } catch (error) {
        if (error.status === 404) set(card, "hidden", "");
        failed(error);
        seen = -1;
      } finally {
        asking = false;
      }
      return undefined;
    },
  };
}
