/** The table: every task that matches, sorted as the address says. */
import { html, useRef } from "../../lib.js";
import { number, plural } from "../../core/format.js";
import { go } from "../../core/router.js";
import { firstLine } from "../../core/text.js";
import { Button, Filtered, Icon, Severity, Status, Time, Trouble, Who } from "../../ui/bits.js";
import { useSame, useWindow } from "../../ui/windowed.js";
import { clearFilters, isFiltered, sorted, STATUSES, taskAddress, taskOf, useTasks, where } from "./list.js";
import { Linked, Progress } from "./parts.js";

/** @typedef {import("./list.js").Filter} Filter */

/** Column, its name, whether it starts from the highest down, and where it has no room. */
const HEADS = /** @type {const} */ ([
  ["severity", "Severity", true, "wide-only"],
  ["title", "Task", false, ""],
  ["status", "Status", false, "wide-only"],
  ["source", "Source", false, "wide-only"],
  ["target", "Target", false, "roomy-only"],
  ["claimedBy", "Claimed by", false, "wide-only"],
  ["seen", "Seen", true, "roomy-only"],
  ["created", "Made", true, "roomy-only"],
  ["updated", "Changed", true, "wide-only"],
]);

/** @param {{filter: Filter, q: string | undefined}} props */
export function Table({ filter, q }) {
  const statuses =
    filter.status === undefined ? STATUSES : STATUSES.filter((status) => filter.status?.split(",").includes(status));
  const found = useTasks(statuses, filter, q, false);
  const sort = filter.sort ?? "-updated";
  const ids = useSame(sorted(found.tasks, sort).map((task) => task.id));
  const more = statuses.some(found.more);
  if (ids.length === 0 && !found.loading && found.error === null && isFiltered(filter))
    return html`<${Filtered} what="tasks" clear=${clearFilters} />`;
  return html`<${Trouble} error=${found.error} reload=${found.reload} />
    <div class="panel task-table">
      <${Rows} ids=${ids} sort=${sort} />
      <p class="panel-foot bar"><span class="quiet" role="status">${plural(ids.length, "task")}${more ? ", and older ones that are closed" : ""}</span>
        ${more && html`<${Button} kind="small" icon="history" run=${found.older} what="Could not get older tasks">Older</${Button}>`}</p>
    </div>`;
}

/** @param {{ids: readonly number[], sort: string}} props */
function Rows({ ids, sort }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const { many, px, first, last } = useWindow({ box, count: ids.length, row: "tr.row", rowPx: 44 });
  const by = sort.replace("-", "");
  const turn = (/** @type {string} */ column, /** @type {boolean} */ downFirst) => {
    const down = column === by ? !sort.startsWith("-") : downFirst;
    where.set({ sort: /** @type {any} */ (`${down ? "-" : ""}${column}`) }, { replace: true });
  };
  return html`<div class="windowed" ref=${box} tabindex="-1">
    <table aria-label="Tasks" aria-rowcount=${many ? ids.length + 1 : undefined}>
      <thead><tr>
        ${HEADS.map(
          ([
            column,
            name,
            downFirst,
            room,
          ]) => html`<th scope="col" class=${`at-${column} ${room}`} aria-sort=${column === by ? (sort.startsWith("-") ? "descending" : "ascending") : undefined}>
          <button type="button" onClick=${() => turn(column, downFirst)}>${name}${column === by && html`<${Icon} name="chevron-down" />`}</button></th>`,
        )}
      </tr></thead>
      <tbody>
        ${first > 0 && html`<tr class="space" aria-hidden="true" style=${{ height: `${first * px}px` }}></tr>`}
        ${ids.slice(first, last).map((id, at) => html`<${Row} key=${id} id=${id} index=${many ? first + at + 2 : undefined} />`)}
        ${last < ids.length && html`<tr class="space" aria-hidden="true" style=${{ height: `${(ids.length - last) * px}px` }}></tr>`}
      </tbody>
    </table>
  </div>`;
}

/** @param {{id: number, index: number | undefined}} props */
function Row({ id, index }) {
  const task = taskOf(id);
  if (task === undefined) return null;
  // The whole row opens it for a mouse; for everybody else its title is the link.
  const open = (/** @type {MouseEvent} */ event) => {
    const inLink = event.target instanceof Element && event.target.closest("a") !== null;
    if (!inLink && String(getSelection()) === "") go(taskAddress(id));
  };
  const active = task.closedAt === null;
  return html`<tr class="row" aria-rowindex=${index} onClick=${open}>
    <td class="at-severity wide-only"><${Severity} severity=${task.severity} /></td>
    <td class="at-title"><span class="title-line"><a data-row href=${taskAddress(id)} dir="auto">${firstLine(task.title)}</a>${task.externalUrl !== null && html`<${Linked} />`}</span>
      <span class="narrow-only row-more"><${Severity} severity=${task.severity} /><${Status} status=${task.status} /><span class="quiet">${firstLine(task.source, 40)}</span><${Time} at=${task.updatedAt} /></span></td>
    <td class="at-status wide-only"><${Status} status=${task.status} />${active && task.progress !== null && html`<${Progress} percent=${task.progress} />`}</td>
    <td class="at-source wide-only">${firstLine(task.source, 60)}</td>
    <td class="at-target roomy-only"><${Who} id=${task.target} link=${false} /></td>
    <td class="at-claimedBy wide-only">${task.claimedBy !== null ? html`<${Who} id=${task.claimedBy} link=${false} />` : html`<span class="quiet">nobody</span>`}</td>
    <td class="at-seen roomy-only">${task.occurrenceCount > 1 ? html`${number(task.occurrenceCount)}×` : html`<span class="quiet">once</span>`}</td>
    <td class="at-created roomy-only"><${Time} at=${task.createdAt} /></td>
    <td class="at-updated wide-only"><${Time} at=${task.updatedAt} /></td>
  </tr>`;
}
