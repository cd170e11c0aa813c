/** Threads: conversations, the most recently active first, beside the one that is open. */
import { html, useState } from "../lib.js";
import { agents, complete, query, useResource } from "../core/data.js";
import { number } from "../core/format.js";
import { address, filters, route } from "../core/router.js";
import { firstLine } from "../core/text.js";
import { composing, TargetList } from "../ui/composer.js";
import { Chip, Code, Empty, Filtered, Icon, SearchField, Time, Trouble, Who } from "../ui/bits.js";
import { Windowed } from "../ui/windowed.js";
import { Conversation } from "./threads/conversation.js";
import { joinCommand } from "../ui/join-commands.js";

/** @typedef {import("../core/types.js").Thread} Thread */

const TEXT = /^[^\0]{1,200}$/;
const where = filters({
  q: TEXT,
  from: TEXT,
  to: TEXT,
  agent: TEXT,
  channel: TEXT,
  unread: ["yes"],
  open: ["yes"],
  before: /^[1-9]\d{0,18}$/,
});
const PAGE = 50;
const MOST = 500;

export function Threads() {
  const { id } = route.value;
  const number_ = /^[1-9]\d{0,15}$/.test(id) ? Number(id) : null;
  return html`<h1 class="unseen">Threads</h1>
    <div class=${`split threads ${id ? "has-open" : ""}`}>
      <${List} open=${number_} />
      ${id === "" ? html`<div class="panel nothing-open wide-only"><${Empty} title="No thread is open" icon="messages"><p class="quiet">Choose one, or write a message to anybody.</p><${Write} /></${Empty}></div>` : number_ === null ? html`<div class="panel"><${Empty} title=${`${firstLine(id, 40)} is no message’s number`}><p><a href=${address("threads")}>All threads</a></p></${Empty}></div>` : html`<${Conversation} key=${number_} id=${number_} />`}
    </div>`;
}

const Write = () =>
  html`<button type="button" class="button main" onClick=${() => (composing.value = { to: "" })}><${Icon} name="pencil" />Write a message</button>`;

/** @param {{open: number | null}} props */
function List({ open }) {
  const found = where.read();
  const [limit, setLimit] = useState(PAGE);
  const { unread, open: unclaimed, ...rest } = found;
  const path = `/threads${query({ ...rest, unread: unread ? "true" : "", open: unclaimed ? "true" : "", limit })}`;
  const { data, error, reload, loading } = useResource(path, { on: /^message\./ });
  const [last, setLast] = useState(/** @type {{threads: Thread[], next?: number} | null} */ (null));
  if (data !== null && data !== last) setLast(data);
  const shown = data ?? last; // while another page is asked for, the one before stays
  const filtered = Object.keys(found).length > 0;
  const type = (/** @type {string} */ name) => (/** @type {string} */ value) =>
    where.set({ [name]: value || undefined, before: undefined }, { replace: true });
  const flip = (/** @type {"unread" | "open"} */ name) => () =>
    where.set({ [name]: found[name] ? undefined : "yes", before: undefined });
  return html`<section class="panel thread-list" aria-label="All threads" aria-busy=${loading}>
    <div class="thread-filters">
      <${SearchField} label="Search the text" value=${found.q} set=${type("q")} main />
      <div class="bar">
        <${SearchField} label="From" value=${found.from} set=${type("from")} list="thread-targets" />
        <${SearchField} label="To" value=${found.to} set=${type("to")} list="thread-targets" />
      </div>
      <div class="bar">
        <button type="button" class="button small" aria-pressed=${found.unread === "yes"} onClick=${flip("unread")}>Unread</button>
        <button type="button" class="button small" aria-pressed=${found.open === "yes"} onClick=${flip("open")}>Unclaimed work</button>
        ${found.agent && html`<${Chip}>of ${firstLine(found.agent, 40)}</${Chip}>`}${found.channel && html`<${Chip}>channel ${firstLine(found.channel, 40)}</${Chip}>`}
        <span class="grow"></span>
        ${filtered && html`<button type="button" class="button small plain" onClick=${where.clear}><${Icon} name="filter-off" />Clear filters</button>`}
      </div>
      <${TargetList} id="thread-targets" />
    </div>
    <${Trouble} error=${error} reload=${reload} />
    ${
      shown !== null &&
      (shown.threads.length > 0
        ? html`<${Windowed} label="Threads" kind="thread-rows" items=${shown.threads} keyOf=${(/** @type {Thread} */ thread) => thread.id} rowPx=${74} row=${(/** @type {Thread} */ thread) => html`<${Row} thread=${thread} open=${open === thread.id} />`} />
          ${shown.next !== undefined && html`<p class="panel-foot"><button type="button" class="button small" onClick=${() => (limit < MOST ? setLimit(Math.min(MOST, limit * 2)) : where.set({ before: String(shown.next) }))}>${limit < MOST ? "Show older threads" : `Go on after these ${number(MOST)}`}</button></p>`}`
        : filtered
          ? html`<${Filtered} what="threads" clear=${where.clear} />`
          : html`<${Empty} title="Nobody has written yet" icon="messages">${complete.value && agents.size === 0 ? html`<p>Let an agent join, then write to it:</p><${Code} text=${joinCommand()} label="Copy the join command" /><p class="quiet" role="status"><span class="pulse" aria-hidden="true"></span> waiting for the first agent…</p>` : html`<${Write} />`}</${Empty}>`)
    }
  </section>`;
}

/** @param {{thread: Thread, open: boolean}} props */
function Row({ thread, open }) {
  const { last, count, unread, taskId } = thread;
  const replied = count > 1;
  return html`<a class="thread-row" data-row href=${address("threads", thread.id, /** @type {any} */ (where.read()))} aria-current=${open ? "true" : undefined}>
    <span class="thread-head"><b class="thread-subject">${firstLine(thread.subject ?? "", 90) || firstLine(last.body, 90) || "(no text)"}</b><${Time} at=${last.createdAt} /></span>
    <span class="thread-who"><${Who} id=${thread.from} link=${false} /><${Icon} name="arrow-narrow-right" /><span class="unseen">to</span><${Who} id=${thread.to} link=${false} /></span>
    <span class="thread-foot"><span class="quiet">${replied ? html`<${Who} id=${last.from} link=${false} />: ` : ""}${firstLine(last.body, 120)}</span>
      ${taskId !== null && html`<${Chip} tone="note">task ${taskId}</${Chip}>`}${count > 1 && html`<${Chip} title=${`${count} messages`}>${number(count)}<span class="unseen"> messages</span></${Chip}>`}${unread > 0 && html`<span class="count">${unread}<span class="unseen"> unread</span></span>`}</span>
  </a>`;
}
