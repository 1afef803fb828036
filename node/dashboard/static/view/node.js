/** The node that is picked: its own figures, and what can be done to it, with what became of it. */
import { nodesOf, faultsOf, ownStatus } from "../trace.js";
import { bytes, duration, faultWords, grouped, pageOf } from "../sentences.js";
import { storeFacts } from "../store.js";
import { clock, h, keyed, say, set } from "./dom.js";
import { roleWords } from "./ring.js";

const OUTCOMES_MAX = 12;
const PATIENCE_MS = 600;

export function makeNode(box, { source }) {
  const title = h("h2", { id: "node-title" }, "Node");
  const kind = h("span", { class: "badge", hidden: true });
  const facts = h("dl", { class: "facts" });
  const way = h("p", { class: "muted", hidden: true });
  const link = h("a", { hidden: true }, "its own page");
  const start = h("button", { type: "button", class: "main", hidden: true, onclick: () => begin() }, "start");
  const actions = h("div");
  const form = h("form", { class: "form", hidden: true });
  const outcomes = h("ol", { class: "outcomes", "aria-live": "polite", "aria-label": "Outcomes of commands" });
  const none = h("p", { class: "muted" });
  box.append(h("div", { class: "head" }, title, kind, link), facts, way, start, actions, form, none, outcomes);
  let picked = "";
  let drawn = null;
  let opener = null;
  let done = [];
  let serial = 0;

  function tell(look, text, data = null) {
    serial += 1;
    done = [{ serial, look, text: `${clock(Date.now()).slice(0, 8)} ${text}`, data }, ...done].slice(0, OUTCOMES_MAX);
    list();
    return serial;
  }

  function list() {
    set(outcomes, "tabindex", done.length ? 0 : null); // it scrolls, so the keyboard must get there
    keyed(outcomes, done, (one) => one.serial, (one) => {
      const name = `${one.text} in detail`;
      const more = one.data && Object.keys(one.data).length ? h("details", {}, h("summary", {}, "details"), h("pre", { tabindex: 0, role: "group", "aria-label": name }, JSON.stringify(one.data, null, 1))) : null;
      return h("li", { class: one.look }, one.text, more);
    }, () => {});
  }

  /** Say what became of it; before, if that takes a while, that it is not known yet. */
  async function outcome(what, asked) {
    let open = 0;
    const patience = setTimeout(() => (open = tell("open", `${what}, no answer yet …`)), PATIENCE_MS);
    const [look, text, data] = await asked;
    clearTimeout(patience);
    done = done.filter((one) => one.serial !== open);
    tell(look, text, data);
  }

  function run(command, args) {
    const what = `${picked}: ${command.name}`;
    return outcome(`${picked} was asked for ${command.name}`, source.run(picked, command.name, args).then(
      (answer) => ["ok", `${what}: ${answer.message}`, answer.data],
      (error) => ["no", `${what}: ${error.status === 504 ? "outcome unknown. " : ""}${error.message}`],
    ));
  }

  function begin() {
    const node = picked;
    return outcome(`${node} is being started`, source.start(node).then(
      (answer) => ["ok", `${node}: ${answer?.message ?? "is started"}`],
      (error) => ["no", `${node}: ${error.message}`],
    ));
  }

  function press(command, names, button) {
    opener = button;
    if (!command.arguments?.length) {
      set(form, "hidden", "");
      run(command, {});
      return;
    }
    openForm(command, names);
  }

  /** Whether one was open; the keyboard goes back to where it was opened. */
  function closeForm() {
    if (form.hidden) return false;
    const inside = form.contains(document.activeElement) || document.activeElement === document.body;
    set(form, "hidden", "");
    if (inside) opener?.focus();
    return true;
  }

  function openForm(command, names) {
    const fields = command.arguments.map((argument) => field(argument, names.filter((name) => name !== picked)));
    form.replaceChildren(
      h("h3", {}, `${words(command.name)} on ${picked}`),
      h("p", { class: "muted" }, command.summary),
      ...fields.map((one) => one.label),
      h("div", { class: "row" }, h("button", { type: "submit", class: "main" }, "run"), h("button", { type: "button", onclick: closeForm }, "cancel")),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      const args = Object.fromEntries(fields.map((one) => [one.name, one.value()]).filter(([, value]) => value !== undefined));
      set(form, "hidden", "");
      run(command, args);
    };
    set(form, "hidden", null);
    fields[0].label.querySelector("input,select").focus();
  }

  function drawActions(state, names) {
    if (drawn === state.commands) return;
    drawn = state.commands;
    const all = (state.commands?.commands ?? []).filter((command) => !command.needs_faults || state.commands.enabled_faults);
    const groups = [
      ["Look", all.filter((command) => !command.changes)],
      ["Change", all.filter((command) => command.changes && !command.needs_faults)],
      ["Break, for a while", all.filter((command) => command.needs_faults)],
    ].filter((group) => group[1].length);
    actions.replaceChildren(...groups.flatMap(([name, commands]) => [
      h("h3", {}, name),
      h("div", { class: "buttons" }, commands.map((command) =>
        h("button", { type: "button", title: command.summary, "data-command": command.name, onclick: ({ currentTarget }) => press(command, names(), currentTarget) }, words(command.name) + (command.arguments?.length ? " …" : "")))),
    ]));
  }

  /** Commands stay where they are, but cannot be given where nothing can come of them. */
  function allow(reason) {
    for (const button of [...actions.querySelectorAll("button"), ...form.querySelectorAll("[type=submit]")]) {
      set(button, "disabled", reason ? "" : null);
      if (button.dataset.says === undefined) button.dataset.says = button.title;
      set(button, "title", reason || button.dataset.says || null);
    }
  }

  let names = [];
  return {
    closeForm,
    update(state, name) {
      if (name !== picked) set(form, "hidden", "");
      picked = name;
      const nodes = nodesOf(state);
      names = nodes.map((node) => node.name);
      const node = nodes.find((one) => one.name === name);
      if (!node) return;
      say(title, node.name);
      say(kind, roleWords(node));
      set(kind, "hidden", null);
      set(kind, "class", `badge ${node.leads ? "good" : node.stale || node.faults.length ? "warn" : ""}`);
      const url = node.status?.client_url;
      const ended = node.state === "dead";
      const elsewhere = Boolean(url) && !ended && (source.kind === "monitor" || !node.self);
      const page = elsewhere ? pageOf(node.name, url, ownStatus(state)?.client_url, location) : {};
      set(link, "hidden", page.href ? null : "");
      if (page.href) set(link, "href", page.href);
      set(way, "hidden", page.words ? null : "");
      say(way, page.words ?? "");
      keyed(facts, factsOf(node), (fact) => fact[0], (fact) => h("div", { class: "pair" }, h("dt", {}, fact[0]), h("dd")), (pair, fact) => say(pair.lastChild, fact[1]));
      set(start, "hidden", source.kind === "monitor" && !node.reachable && node.process?.state !== "running" ? null : "");
      say(start, `start ${node.name}`);
      set(start, "disabled", state.clusterError ? "" : null);
      drawActions(state, () => names);
      const away = whyNot(state, node, source);
      allow(away);
      const age = node.status ? ` What is shown is what it said ${duration(node.ageMs)} ago.` : "";
      const wordsNow = node.reachable ? "" : node.status
        ? `Not heard for ${duration(node.ageMs)}: it may be dead, stopped, or only cut off from here.${age}`
        : "Not heard yet.";
      const said = ended && node.process ? `Its process ${node.process.how}.${age}` : wordsNow;
      say(none, [said, away && actions.firstChild ? `Commands are off: ${away}.` : ""].filter(Boolean).join(" "));
    },
  };
}

/** Why nothing can be done to `node` from here; empty where something can. */
function whyNot(state, node, source) {
  if (state.clusterError) return `${source.name || "the monitor"} does not answer`;
  if (node.state === "dead") return `${node.name} does not run`;
  if (node.reachable || node.process?.state === "running" || faultsOf(state).length) return "";
  return `${node.name} is not heard`;
}

const words = (name) => name.replaceAll("_", " ");

function field(argument, names) {
  const id = `argument-${argument.name}`;
  const options = argument.name === "peer" || argument.name === "target" ? names : (argument.choices ?? null);
  const input = options
    ? h("select", { id }, argument.required ? null : h("option", { value: "" }, "(any)"), options.map((one) => h("option", { value: one, selected: one === argument.default }, one)))
    : h("input", { id, value: argument.default ?? "", required: argument.required, inputmode: numeric(argument) ? "decimal" : null, autocomplete: "off" });
  return {
    name: argument.name,
    label: h("label", { for: id }, `${argument.name}${argument.help ? `: ${argument.help}` : ""}`, input),
    value() {
      const text = input.value.trim();
      if (text === "") return undefined;
      return numeric(argument) && !Number.isNaN(Number(text)) ? Number(text) : text;
    },
  };
}

const numeric = (argument) => /int|float|number|seconds|ms|percent/.test(argument.type ?? "");

function factsOf(node) {
  const { status } = node;
  if (!status) return [["state", "not heard yet"]];
  const facts = [
    ["term", `${node.term}, voted for ${status.vote || "nobody"}`],
    ["leader", status.leader || "none known"],
    ["log", `${status.first_index} to ${status.last_index}, ${bytes(status.log_bytes)}`],
    ["committed", `${status.commit}, applied ${status.applied}, durable ${status.durable}`],
    ...storeFacts(status),
    ["election timer", node.timer ? `${duration(node.timer.left)} of ${duration(node.timer.total)} left when told` : "none"],
    ["links up", `${status.peers.filter((peer) => peer.link_up).length} of ${status.peers.length}`],
    ["up for", duration(status.uptime_ms)],
    ["version", status.version],
  ];
  if (status.waiting_for) facts.push(["waits for", status.waiting_for]);
  if (status.fatal) facts.push(["stops because", status.fatal]);
  const end = (fault) => (typeof fault.expires_in_ms === "number" ? `ends in ${duration(fault.expires_in_ms)}` : "until healed");
  const faults = grouped(node.faults).map((fault) => `${faultWords(fault)}, ${end(fault)}`);
  if (faults.length) facts.push(["faults", faults.join("; ")]);
  return facts;
}
