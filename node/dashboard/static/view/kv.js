/** Reading and writing the store through the server of this page. It says what became of every write, also "unknown". */
import { KeyFeed } from "../keyfeed.js";
import { noteOf } from "../keys.js";
import { bytes } from "../sentences.js";
import { h, keyed, say, set } from "./dom.js";

const VALUE_SHOWN_BYTES = 4096;

/** A key as a path: every byte that is not plain is percent-encoded, so that slashes and control bytes survive. */
export function keyPath(octets) {
  return Array.from(octets, (octet) => {
    const letter = String.fromCharCode(octet);
    return /[A-Za-z0-9_~-]/.test(letter) ? letter : `%${octet.toString(16).padStart(2, "0").toUpperCase()}`;
  }).join("").replace(/%2E/g, ".");
}

const AROUND = {
  now: () => Date.now(),
  later: (run, ms) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  frame: (run) => requestAnimationFrame(run),
};

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
  const feed = new KeyFeed(source, AROUND, (now) => {
    keyed(keys, now.rows, (one) => one.key_base64, row, (tr, one) => {
      say(tr.children[1], bytes(one.bytes));
      say(tr.children[2], String(one.revision));
      say(tr.children[3], String(one.version));
    });
    tell();
  });
  let away = ""; // why the server of the page is not to be had
  function tell() {
    const { words, trouble } = noteOf(away ? { ...feed.keys, phase: "lost", why: away } : feed.keys, Date.now());
    say(note, words);
    set(note, "class", trouble ? "trouble" : "muted");
  }
  const list = async () => {
    await feed.follow(prefix.value);
    return `${feed.keys.rows.length} listed`;
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
    return `done, revision ${answer.revision}`;
  };
  const remove = async () => {
    const answer = await source.remove(path(octetsOf(key.value)));
    set(whole, "hidden", "");
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
  let begun = false;
  return {
    /** The list follows by itself; here only whether there is anybody to ask. */
    follow(state) {
      away = state.clusterError;
      for (const button of box.querySelectorAll("button")) set(button, "disabled", away ? "" : null);
      if (!begun && state.cluster) {
        begun = true;
        begin();
      }
      tell();
    },
    /** Whether anybody sees the page. */
    seen(yes) {
      if (!yes) feed.stop();
      else if (begun) begin();
    },
  };

  function begin() {
    feed.follow(prefix.value).catch((error) => error.status === 404 && set(card, "hidden", ""));
  }
}
