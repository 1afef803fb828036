/** The card of members: who belongs, how far each has got, and buttons for the changes that the leader can make. */
import { membersOf, membersWords, whyNoChange } from "../members.js";
import { h, keyed, say, set } from "./dom.js";

const COLUMNS = ["Member", "Part", "How far", "Change", "Peers reach it at"];

export function makeMembers(card, box, note, { source, changed }) {
  const body = h("tbody");
  const head = h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)));
  const said = h("p", { class: "said", "aria-live": "polite" });
  const form = h("form", {});
  const question = h("div", { class: "form", hidden: true }, form);
  const more = h("button", { type: "button", hidden: source.kind !== "monitor", onclick: () => startOne() }, "start one more node");
  box.append(
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of members" }, h("table", {}, h("caption", { class: "quiet" }, "Members, and who asks to be one"), h("thead", {}, head), body)),
    h("div", { class: "buttons" }, more),
    question,
    said,
  );
  let leader = "";
  let opener = null;
  let busy = false;

  function tell(look, text) {
    set(said, "class", `said ${look}`);
    say(said, text);
  }

  /** One at a time, for the next would be refused; what became of it is said. */
  async function doing(what, work) {
    if (busy) return;
    busy = true;
    tell("", `${what} …`);
    try {
      tell("ok", await work());
    } catch (error) {
      tell("no", `${error.status === 504 ? "Outcome unknown. " : ""}${error.message}`);
    } finally {
      busy = false;
      changed();
    }
  }

  function run({ command, words, args }, force) {
    const given = force ? { ...args, force: "yes" } : args;
    return doing(words.replace(" …", ""), async () => {
      const { message } = await source.run(leader, command, given);
      if (command !== "remove_member" || source.kind !== "monitor") return message;
      return `${message}. ${(await source.retire(args.name)).message}`;
    });
  }

  function startOne() {
    return doing("starting one more node", async () => `${(await source.addNode()).message} It asks to be let in in a moment.`);
  }

  function closeForm() {
    set(question, "hidden", "");
    opener?.focus();
  }

  /** What cannot be taken back is asked for twice. */
  function confirm(action) {
    const force = h("input", { type: "checkbox" });
    form.replaceChildren(
      h("p", {}, action.ask),
      h("label", { class: "inline" }, force, "also where too few voters that answer would be left: it may end the cluster"),
      h("div", { class: "row" }, h("button", { type: "submit", class: "main" }, `remove ${action.args.name}`), h("button", { type: "button", onclick: closeForm }, "keep it")),
    );
    form.onsubmit = (event) => {
      event.preventDefault();
      closeForm();
      run(action, force.checked);
    };
    set(question, "hidden", null);
    form.querySelector("[type=submit]").focus();
  }

  function make() {
    const row = h("tr", {}, h("th", { scope: "row" }), ...COLUMNS.slice(1).map(() => h("td")));
    row.children[2].append(h("span", { class: "bar", "aria-hidden": "true" }, h("i")), h("span"));
    row.children[3].append(h("div", { class: "buttons" }));
    return row;
  }

  function draw(row, member, why) {
    const [name, part, far, change, reached] = row.children;
    say(name, member.name);
    say(part, member.kind);
    set(far.firstChild, "hidden", member.part === null ? "" : null);
    if (member.part !== null) far.firstChild.firstChild.style.transform = `scaleX(${Math.min(1, member.part)})`;
    say(far.lastChild, member.words);
    say(reached, member.reached);
    keyed(change.firstChild, member.actions, (action) => action.command, () => h("button", { type: "button" }), (button, action) => {
      say(button, action.words);
      set(button, "disabled", why || action.why ? "" : null);
      set(button, "title", why || action.why || null);
      button.onclick = () => {
        opener = button;
        if (action.ask) confirm(action);
        else run(action, false);
      };
    });
  }

  return (state) => {
    set(card, "hidden", state.members ? null : "");
    if (!state.members) return;
    leader = state.members.leader;
    const why = whyNoChange(state);
    say(note, membersWords(state));
    set(more, "disabled", state.clusterError ? "" : null);
    keyed(body, membersOf(state), (member) => member.key, make, (row, member) => draw(row, member, why));
  };
}
