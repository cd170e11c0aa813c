/** The board: a column for each status, each scrolling by itself. */
import { html, useRef } from "../../lib.js";
import { ACTIVE } from "../../core/data.js";
import { number } from "../../core/format.js";
import { address } from "../../core/router.js";
import { firstLine } from "../../core/text.js";
import { Choice, Filtered, Icon, Severity, Time, Trouble, Who, wordOf } from "../../ui/bits.js";
import { useSame, Windowed } from "../../ui/windowed.js";
import {
  clearFilters,
  COLUMNS,
  isFiltered,
  lastClosedFirst,
  STATUSES,
  taskAddress,
  taskOf,
  useTasks,
  where,
  worstFirst,
} from "./list.js";
import { Linked, Progress, Seen } from "./parts.js";

/** @typedef {import("./list.js").Filter} Filter */
/** @typedef {import("./list.js").TaskStatus} TaskStatus */

/** How many of its newest a closed column shows: work that is over is looked up, not browsed. */
const NEWEST = 50;

/** @param {{filter: Filter, q: string | undefined}} props */
export function Board({ filter, q }) {
  const asked = filter.status?.split(",");
  const columns = asked === undefined ? COLUMNS : STATUSES.filter((status) => asked.includes(status));
  const found = useTasks(columns, filter, q, true);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const counts = new Map(
    columns.map((status) => [status, found.tasks.filter((task) => task.status === status).length]),
  );
  const said = (/** @type {TaskStatus} */ status) =>
    `${number(counts.get(status) ?? 0)}${found.more(status) ? "+" : ""}`;
  const chosen = /** @type {TaskStatus} */ (
    columns.find((status) => status === filter.column) ?? columns.find((status) => counts.get(status)) ?? columns[0]
  );
  if (found.tasks.length === 0 && !found.loading && found.error === null && isFiltered(filter))
    return html`<${Filtered} what="tasks" clear=${clearFilters} />`;
  return html`<${Trouble} error=${found.error} reload=${found.reload} />
    ${
      columns.length > 1 &&
      html`<div class="column-choice"><${Choice} label="Column" value=${chosen} options=${columns.map((status) => [status, `${wordOf(status)} ${said(status)}`])}
      set=${(/** @type {string} */ column) => where.set({ column }, { replace: true })} /></div>`
    }
    <div class="board" ref=${box} data-columns=${columns.length} onKeyDown=${(/** @type {KeyboardEvent} */ event) => sideways(event, box.current)}>
      ${columns.map((status) => {
        const closed = !ACTIVE.includes(status);
        const all = found.tasks.filter((task) => task.status === status).sort(closed ? lastClosedFirst : worstFirst);
        const shown = closed ? all.slice(0, NEWEST) : all;
        return html`<${Column} key=${status} status=${status} ids=${shown.map((task) => task.id)} count=${said(status)} left=${all.length - shown.length} more=${found.more(status)} shown=${status === chosen} />`;
      })}
    </div>`;
}

/** @param {{status: TaskStatus, ids: number[], count: string, left: number, more: boolean, shown: boolean}} props */
function Column({ status, ids, count, left, more, shown }) {
  const items = useSame(ids);
  const name = wordOf(status);
  const closed = !ACTIVE.includes(status);
  return html`<section class=${`column is-${status}${shown ? " is-shown" : ""}`} aria-labelledby=${`column-${status}`}>
    <h2 id=${`column-${status}`} class="status" title=${closed ? "The last closed first" : "The worst first, then who waits longest"}><span class="dot" aria-hidden="true"></span>${name}<span class="column-count">${count}<span class="unseen"> ${count === "1" ? "task" : "tasks"}</span></span></h2>
    ${items.length === 0 ? html`<p class="column-none">none</p>` : html`<${Windowed} kind="cards" label=${`Tasks that are ${name}`} items=${items} keyOf=${(/** @type {number} */ id) => id} rowPx=${130} row=${card} />`}
    ${
      (left > 0 || more) &&
      html`<p class="column-foot">The newest ${items.length}. <a href=${address("tasks", "", { ...where.read(), view: "table", status, column: undefined })}>${more ? `More than ${number(left)} more` : `${number(left)} more`}</a></p>`
    }
  </section>`;
}

/** @param {number} id */
const card = (id) => html`<${Card} id=${id} />`;

/** @param {{id: number}} props */
function Card({ id }) {
  const task = taskOf(id);
  if (task === undefined) return null;
  const active = task.closedAt === null;
  return html`<a class=${`card of-${task.severity}`} data-row href=${taskAddress(id)}>
    <span class="card-head"><${Severity} severity=${task.severity} /><${Time} at=${task.closedAt ?? task.createdAt} /></span>
    <span class="card-title" dir="auto">${firstLine(task.title)}</span>
    <span class="card-line"><span class="card-source">${firstLine(task.source, 60)}</span><${Seen} count=${task.occurrenceCount} />${task.externalUrl !== null && html`<${Linked} />`}</span>
    <span class="card-line">${task.claimedBy !== null ? html`<${Icon} name="robot" /><${Who} id=${task.claimedBy} link=${false} />` : html`<${Icon} name="arrow-narrow-right" /><span class="unseen">to</span><span class="who">${firstLine(task.target, 60)}</span>`}</span>
    ${active && task.progress !== null && html`<${Progress} percent=${task.progress} />`}
  </a>`;
}

/** Left and right between the columns, to the card beside. @param {KeyboardEvent} event @param {HTMLElement | null} board */
function sideways(event, board) {
  const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  const from = document.activeElement;
  if (by === 0 || board === null || from === null || event.altKey || event.ctrlKey || event.metaKey) return;
  const columns = [...board.querySelectorAll("section.column")];
  const top = from.getBoundingClientRect().top;
  for (let at = columns.findIndex((column) => column.contains(from)) + by; at >= 0 && at < columns.length; at += by) {
    const cards = /** @type {HTMLElement[]} */ ([
      .../** @type {Element} */ (columns[at]).querySelectorAll("[data-row]"),
    ]);
    const beside = cards
      .filter((card) => card.offsetParent !== null)
      .sort((a, b) => Math.abs(a.getBoundingClientRect().top - top) - Math.abs(b.getBoundingClientRect().top - top))[0];
    if (beside === undefined) continue;
    event.preventDefault();
    return beside.focus();
  }
}
