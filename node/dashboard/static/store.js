/** What a node says of its store, of who follows it, and of what somebody must act on; in words. Pure. */
import { bytes, whole } from "./sentences.js";

const counted = (count, one) => `${whole(count)} ${one}${count === 1 ? "" : "s"}`;
const watchesOf = (count) => `${whole(count)} watch${count === 1 ? "" : "es"}`;

/** Facts of a node: `[name, words]` each; none of a node that does not tell. */
export function storeFacts(status) {
  const { store } = status;
  if (!store) return [];
  const of = store.quota_bytes ? ` of ${bytes(store.quota_bytes)}` : "";
  return [
    ["store", `${counted(store.keys, "key")}, ${bytes(store.bytes)}${of}, revision ${store.revision}`],
    ["leases", whole(store.leases)],
    ["watched by", store.watches ? `${watchesOf(store.watches)} on ${counted(store.watch_streams, "stream")}` : "nobody"],
  ];
}

/** A line for each alarm that is raised, with the nodes that raise it: `{ alarm, words }`. */
export function alarmLines(nodes) {
  const raised = new Map();
  for (const { name, reachable, status } of nodes) {
    for (const { alarm, message } of (reachable && status.alarms) || []) {
      const one = raised.get(alarm) ?? { alarm, message, names: [] };
      one.names.push(name);
      raised.set(alarm, one);
    }
  }
  return [...raised.values()].map(({ alarm, message, names }) => ({ alarm, words: `${alarm} on ${names.join(", ")}: ${message}` }));
}
