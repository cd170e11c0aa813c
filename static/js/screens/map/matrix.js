/** Who talks to whom, as a table: a row for each sender, a column for each target, a number where they meet. */
import { html, useRef } from "../../lib.js";
import { number, plural } from "../../core/format.js";
import { address } from "../../core/router.js";
import { readable } from "../../core/text.js";
import { kindOf } from "./flows.js";

/** @typedef {import("./flows.js").Line} Line */
const TAIL = 9;

/** An id that may be cut in its middle: its end tells two agents of one project apart. @param {{id: string}} props */
export function Cut({ id }) {
  const text = readable(id);
  const at = text.length > 2 * TAIL ? text.length - TAIL : text.length;
  return html`<bdi class="cut"><span>${text.slice(0, at)}</span>${at < text.length && html`<span>${text.slice(at)}</span>`}</bdi>`;
}

/** @param {Line} line @param {"sender" | "target"} what */
export const nameOf = (line, what) => (line.rest > 0 ? `the rest: ${plural(line.rest, what)}` : readable(line.id));

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** @param {{flows: import("./flows.js").Flows}} props */
export function Matrix({ flows }) {
  const { rows, columns, count, most } = flows;
  const table = useRef(/** @type {HTMLTableElement | null} */ (null));
  // One stop for the Tab key; arrows lead from number to number, over what is empty.
  const key = (/** @type {KeyboardEvent} */ event) => {
    const by = ARROWS[event.key];
    const cell = event.target instanceof Element ? event.target.closest("td, th") : null;
    if (by === undefined || !(cell instanceof HTMLTableCellElement) || event.ctrlKey || event.metaKey || event.altKey)
      return;
    event.preventDefault();
    let row = /** @type {HTMLTableRowElement} */ (cell.parentElement).rowIndex;
    let column = cell.cellIndex;
    for (;;) {
      row += by[0];
      column += by[1];
      const next = table.current?.rows[row]?.cells[column];
      if (next === undefined) return;
      const link = next.querySelector("a");
      if (link !== null) return link.focus();
    }
  };
  const focus = (/** @type {FocusEvent} */ event) => {
    for (const link of table.current?.querySelectorAll("a[tabindex='0']") ?? []) link.setAttribute("tabindex", "-1");
    if (event.target instanceof HTMLAnchorElement) event.target.setAttribute("tabindex", "0");
  };
  return html`<div class="matrix-box" tabindex="0" role="region" aria-label="Messages from each sender to each target">
    <table class="matrix" ref=${table} onKeyDown=${key} onFocusIn=${focus}>
      <caption class="unseen">Rows are senders, columns are targets. Arrow keys go from number to number; each number leads to its threads.</caption>
      <thead><tr>
        <th class="corner" scope="col"><span>from</span> <span>to</span></th>
        ${columns.map(
          (
            column,
          ) => html`<th key=${column.id} scope="col" class=${`is-${column.rest ? "rest" : kindOf(column.id)}`} title=${nameOf(column, "target")}>
          ${column.rest ? html`<span>the rest, ${number(column.rest)}</span>` : html`<a tabindex="-1" href=${address("threads", "", { to: column.id })}><${Cut} id=${column.id} /></a>`}</th>`,
        )}
        <th scope="col" class="sum">all</th>
      </tr></thead>
      <tbody>
        ${rows.map(
          (row, index) => html`<tr key=${row.id}>
          <th scope="row" title=${nameOf(row, "sender")}>${row.rest ? html`<span>the rest, ${number(row.rest)}</span>` : html`<a data-row tabindex=${index === 0 ? "0" : "-1"} href=${address("threads", "", { from: row.id })}><${Cut} id=${row.id} /></a>`}</th>
          ${columns.map((column) => html`<${Field} key=${column.id} row=${row} column=${column} messages=${count(row, column)} most=${most} />`)}
          <td class="sum">${number(row.total)}</td>
        </tr>`,
        )}
      </tbody>
      <tfoot><tr><th scope="row">all</th>
        ${columns.map((column) => html`<td key=${column.id} class="sum">${number(column.total)}</td>`)}
        <td class="sum"><b>${number(flows.total)}</b></td></tr></tfoot>
    </table>
  </div>`;
}

/** @param {{row: Line, column: Line, messages: number, most: number}} props */
function Field({ row, column, messages, most }) {
  if (messages === 0) return html`<td class=${row.id === column.id ? "is-self" : ""}></td>`;
  if (row.rest > 0 && column.rest > 0) return html`<td class="is-rest">${number(messages)}</td>`;
  const said = `${plural(messages, "message")} from ${nameOf(row, "sender")} to ${nameOf(column, "target")}`;
  const href = address("threads", "", {
    from: row.rest > 0 ? undefined : row.id,
    to: column.rest > 0 ? undefined : column.id,
  });
  const rest = row.rest > 0 || column.rest > 0;
  // The root makes few and many both visible; the mixture stays light enough for the number to be read on it.
  const heat = rest ? 0 : Math.round(8 + 34 * Math.sqrt(messages / most));
  return html`<td class=${rest ? "is-rest" : ""} style=${{ "--heat": `${heat}%` }}><a tabindex="-1" href=${href} title=${said} aria-label=${said}>${number(messages)}</a></td>`;
}
