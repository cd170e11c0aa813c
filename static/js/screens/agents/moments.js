/** What an agent did and what came to it alone, newest first; what is older comes when asked for. */
import { html, useEffect, useMemo, useSignal } from "../../lib.js";
import { get } from "../../core/api.js";
import { useResource } from "../../core/data.js";
import { dayOf, fullTime, secondsOf } from "../../core/format.js";
import { address } from "../../core/router.js";
import { firstLine } from "../../core/text.js";
import { Button, Icon, Trouble } from "../../ui/bits.js";

/** @typedef {{at: string, lane: "message" | "claim" | "status" | "callback", event: string, messageId: number | null, taskId: number | null, by: string | null, to: string | null, text: string}} Entry */
/** @typedef {{entries: Entry[], next?: string}} Page */

const PAGE = 30;
const ICONS = { message: "message-2", claim: "hand-stop", status: "robot", callback: "webhook" };

/** @param {Entry} entry */
const keyOf = ({ at, event, messageId, taskId, text }) => `${at} ${event} ${messageId} ${taskId} ${text}`;

/** What is new, before what is there already; where the two do not meet, the new alone. @param {Page} fresh @param {Page} known @returns {Page} */
function joined(fresh, known) {
  const first = known.entries[0];
  const meet = first === undefined ? -1 : fresh.entries.findIndex((entry) => keyOf(entry) === keyOf(first));
  return meet < 0 ? fresh : { entries: [...fresh.entries.slice(0, meet), ...known.entries], next: known.next };
}

/** @param {{id: string, gone?: boolean}} props */
export function Moments({ id, gone = false }) {
  const path = `/agents/${encodeURIComponent(id)}/timeline?limit=${PAGE}`;
  const newest = useResource(path, { on: /^(message|agent|task)\./, everyMs: 3_000 });
  const known = useSignal(/** @type {Page} */ ({ entries: [] }));
  useEffect(() => {
    if (newest.data !== null) known.value = joined(newest.data, known.peek());
  }, [newest.data]);
  const { entries, next } = known.value;
  const earlier = async () => {
    const page = await get(`${path}&before=${encodeURIComponent(/** @type {string} */ (next))}`);
    const now = known.peek();
    if (now.next === next) known.value = { entries: [...now.entries, ...page.entries], next: page.next };
  };
  const days = useMemo(() => byDay(entries), [entries]);
  if (newest.error !== null && newest.error.code !== "agent-not-found")
    return html`<${Trouble} error=${newest.error} reload=${newest.reload} />`;
  if (gone && entries.length === 0) return null;
  if (newest.data === null) return html`<p class="quiet">…</p>`;
  if (entries.length === 0) return html`<p class="quiet">Nothing yet.</p>`;
  return html`<div class="moments">
    ${gone && html`<h3>What is known of it</h3>`}
    ${days.map(
      ([day, those]) =>
        html`<section key=${day}><h3>${day}</h3><ol>${those.map((entry) => html`<${Moment} key=${keyOf(entry)} entry=${entry} id=${id} />`)}</ol></section>`,
    )}
    ${next !== undefined && html`<${Button} kind="small" icon="history" what="Could not get what is earlier" run=${earlier}>Earlier</${Button}>`}
  </div>`;
}

/** @param {Entry[]} entries @returns {[string, Entry[]][]} */
function byDay(entries) {
  /** @type {Map<string, Entry[]>} */
  const found = new Map();
  for (const entry of entries) {
    const day = dayOf(entry.at);
    found.set(day, [...(found.get(day) ?? []), entry]);
  }
  return [...found];
}

/** One moment; that it is this agent's need not be said on each line. @param {{entry: Entry, id: string}} props */
function Moment({ entry, id }) {
  const { lane, taskId, messageId } = entry;
  const href =
    taskId !== null && lane !== "message"
      ? address("tasks", taskId)
      : messageId !== null
        ? address("threads", messageId)
        : null;
  const text = entry.text.startsWith(`${id} `) ? entry.text.slice(id.length + 1) : entry.text;
  const inside = html`<time datetime=${entry.at} title=${fullTime(entry.at)}>${secondsOf(entry.at)}</time><${Icon} name=${ICONS[lane] ?? "activity"} /><span>${firstLine(text, 200)}</span>`;
  return html`<li class=${`moment of-${lane}`}>${href === null ? html`<span class="moment-line">${inside}</span>` : html`<a class="moment-line" href=${href}>${inside}</a>`}</li>`;
}
