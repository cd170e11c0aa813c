/** What one moment is: its lane, its sign, its words, and where it leads. */
import { address } from "../../core/router.js";
import { firstLine } from "../../core/text.js";

/** @typedef {"message" | "claim" | "status" | "callback"} Lane */
/** @typedef {{at: string, lane: Lane, event: string, messageId: number | null, taskId: number | null, by: string | null, to: string | null, text: string, data: Record<string, any>}} Entry */
/** @typedef {{entries: Entry[], truncated: boolean}} Timeline */

export const LANES = /** @type {const} */ ([
  ["message", "Messages", "message-2"],
  ["claim", "Claims", "hand-stop"],
  ["status", "Status", "checklist"],
  ["callback", "Callbacks", "webhook"],
]);

/** @type {Record<string, [string, string]>} icon and word */
const SIGNS = {
  "message.new": ["message-2", "sent"],
  "message.delivered": ["inbox", "delivered"],
  "message.read": ["check", "read"],
  "message.claimed": ["hand-stop", "claimed"],
  "message.released": ["arrow-back-up", "released"],
  "claim.lost": ["x", "lost the claim"],
  "task.created": ["plus", "opened"],
  "task.updated": ["pencil", "updated"],
  "task.claimed": ["hand-stop", "claimed"],
  "task.status": ["checklist", "moved"],
  "callback.attempt": ["webhook", "callback"],
};

/** @param {Entry} entry @returns {[string, string]} icon and word */
export const signOf = (entry) => SIGNS[entry.event] ?? ["activity", entry.event];

/** How it went, where that can be well or badly. @param {Entry} entry @returns {"" | "good" | "bad" | "warn"} */
export function toneOf({ event, data }) {
  if (event === "claim.lost") return "bad";
  if (event === "callback.attempt")
    return data.error === null && data.status >= 200 && data.status < 300 ? "good" : "bad";
  if (event === "message.released" || data.status === "blocked") return "warn";
  if (data.status === "failed") return "bad";
  return data.status === "done" ? "good" : "";
}

/** Who did it; a callback is the relay's own doing. @param {Entry} entry */
export const whoOf = (entry) => entry.by ?? "system";

/** What was done, without saying again who did it. @param {Entry} entry */
export function wordsOf(entry) {
  let { text } = entry;
  if (entry.event === "message.new") text = text.slice(`${entry.by} to ${entry.to}: `.length);
  else if (entry.by !== null && text.startsWith(`${entry.by} `)) text = text.slice(entry.by.length + 1);
  if (entry.lane === "status") text = text.replace(" to in_progress", " to in progress");
  return firstLine(text, 240);
}

/** @param {Entry} entry */
export function hrefOf(entry) {
  if (entry.lane === "callback")
    return address("integrations", entry.to ?? "", { callback: String(entry.data.deliveryId ?? "") });
  if (entry.lane === "status" && entry.taskId !== null) return address("tasks", entry.taskId);
  return entry.messageId === null
    ? address("agents", entry.by ?? "")
    : address("threads", entry.messageId, { at: String(entry.messageId) });
}

/** @typedef {{from: number, until: number, word: string, tone: string}} Span a state that lasted */

/** Who held a claim, and what the task was, from when to when. @param {readonly Entry[]} entries @param {number} end ms @returns {{claim: Span[], status: Span[]}} */
export function spansOf(entries, end) {
  /** @type {Map<number, Span>} */
  const held = new Map();
  /** @type {{claim: Span[], status: Span[]}} */
  const spans = { claim: [], status: [] };
  /** @type {Span | undefined} */
  let state;
  for (const entry of entries) {
    const at = Date.parse(entry.at);
    const id = entry.messageId ?? 0;
    const open = held.get(id);
    const over = entry.event === "message.released" || (entry.lane === "status" && CLOSED.has(entry.data.status));
    if (open !== undefined && over) {
      open.until = at;
      held.delete(id);
    }
    if (entry.event === "message.claimed") {
      const span = { from: at, until: end, word: entry.by ?? "", tone: "held" };
      held.set(id, span);
      spans.claim.push(span);
    }
    const status = entry.lane === "status" && entry.taskId !== null ? entry.data.status : undefined;
    if (status !== undefined && status !== state?.tone) {
      if (state !== undefined) state.until = at;
      state = {
        from: at,
        until: CLOSED.has(status) ? at : end,
        word: String(status).replace("_", " "),
        tone: String(status),
      };
      spans.status.push(state);
    }
  }
  return spans;
}
const CLOSED = new Set(["done", "failed", "cancelled"]);
