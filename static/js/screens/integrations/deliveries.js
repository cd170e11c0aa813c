/** The callbacks, newest first, live as they are tried. */
import { html, useEffect, useRef } from "../../lib.js";
import { onEvents, query, tasks } from "../../core/data.js";
import { plural } from "../../core/format.js";
import { usePages } from "../../core/pages.js";
import { address, go } from "../../core/router.js";
import { firstLine, readable } from "../../core/text.js";
import { Button, Choice, Empty, Filtered, Icon, SelectField, Status, Time, Trouble } from "../../ui/bits.js";
import { useSame, useWindow } from "../../ui/windowed.js";
import { choose, chosenName, deliveries, deliveryAddress, STATES, where } from "./list.js";

const OPTIONS = /** @type {const} */ ([["", "all"], ...STATES.map((state) => [state, state])]);
const PAGE = 100;

/** @param {{names: string[]}} props of the integrations in force */
export function Deliveries({ names }) {
  const { state, task } = where.read();
  const name = chosenName();
  const path = `/callbacks${query({ state, integration: name, task, limit: PAGE })}`;
  const found = usePages(path, "callbacks", deliveries, { on: /^(callback\.attempt|task\.(created|claimed|status))$/ });
  useEffect(
    () =>
      onEvents((events) => {
        for (const { event, data } of events)
          if (event === "callback.attempt" && deliveries.things.has(data.id)) deliveries.put(data);
      }),
    [],
  );
  void deliveries.version.value;
  // One that was tried meanwhile may be of another state now.
  const shown = useSame(
    found.ids.filter((id) => {
      const one = deliveries.things.get(id)?.peek();
      return (
        one !== undefined &&
        (state === undefined || one.state === state) &&
        (name === undefined || one.integration === name) &&
        (task === undefined || one.taskId === Number(task))
      );
    }),
  );
  const filtered = state !== undefined || task !== undefined || name !== undefined;
  const clear = () => go(address("integrations"));
  // Where there is no integration, nobody waits for a callback; those of one that was removed are shown all the same.
  if (names.length === 0 && !filtered && shown.length === 0 && found.error === null) return null;
  const options = [...new Set(name === undefined ? names : [...names, name])].map(
    (one) => /** @type {[string, string]} */ ([one, readable(one)]),
  );
  return html`<section class="panel deliveries" aria-labelledby="deliveries-title" aria-busy=${found.loading}>
    <header class="panel-head"><h2 id="deliveries-title">Callbacks</h2>
      <${Choice} label="State" value=${state ?? ""} options=${OPTIONS} set=${(/** @type {string} */ value) => where.set({ state: value || undefined, callback: undefined })} />
      <${SelectField} label="Integration" value=${name} options=${options} set=${choose} />
      <label class="search task-number"><span class="unseen">Task number</span><${Icon} name="search" /><input type="search" inputmode="numeric" data-filter value=${task ?? ""} placeholder="Task number" autocomplete="off"
        onInput=${(/** @type {any} */ event) => where.set({ task: /^[1-9]\d*$/.test(event.target.value.trim()) ? event.target.value.trim() : undefined, callback: undefined }, { replace: true })} /></label>
      ${filtered && html`<button type="button" class="button small plain" onClick=${clear}><${Icon} name="filter-off" />Clear filters</button>`}
    </header>
    <${Trouble} error=${found.error} reload=${found.reload} />
    ${shown.length > 0 ? html`<${Rows} ids=${shown} />` : !found.loading && found.error === null && (filtered ? html`<${Filtered} what="callbacks" clear=${clear} />` : html`<${Empty} title="No callbacks yet" icon="webhook"><p class="quiet">Where an integration has a callback address, it is told there of each task that it made: when it is made, claimed and moved.</p></${Empty}>`)}
    ${shown.length > 0 && html`<p class="panel-foot bar"><span class="quiet" role="status">${plural(shown.length, "callback")}${found.more ? ", and older ones" : ""}</span>${found.more && html`<${Button} kind="small" icon="history" run=${found.older} what="Could not get older callbacks">Older</${Button}>`}</p>`}
  </section>`;
}

/** @param {{ids: readonly number[]}} props */
function Rows({ ids }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const { many, px, first, last } = useWindow({ box, count: ids.length, row: "tr.row", rowPx: 41 });
  return html`<div class=${`windowed ${many ? "is-long" : ""}`} ref=${box} tabindex="-1"><table aria-label="Callbacks" aria-rowcount=${many ? ids.length + 1 : undefined}>
    <thead><tr><th scope="col" class="of-event">Event</th><th scope="col" class="of-task wide-only">Task</th><th scope="col" class="of-state">State</th><th scope="col" class="of-to wide-only">Integration</th><th scope="col" class="of-attempts wide-only">Attempts</th><th scope="col" class="of-when wide-only">Next, or done</th><th scope="col" class="of-made wide-only">Made</th></tr></thead>
    <tbody>
      ${first > 0 && html`<tr aria-hidden="true" style=${{ height: `${first * px}px` }}></tr>`}
      ${ids.slice(first, last).map((id, at) => html`<${Row} key=${id} id=${id} index=${many ? first + at + 2 : undefined} />`)}
      ${last < ids.length && html`<tr aria-hidden="true" style=${{ height: `${(ids.length - last) * px}px` }}></tr>`}
    </tbody>
  </table></div>`;
}

/** @param {{id: number, index: number | undefined}} props */
function Row({ id, index }) {
  const one = deliveries.get(id);
  if (one === undefined) return null;
  const title = tasks.get(one.taskId)?.title;
  const open = (/** @type {MouseEvent} */ event) => {
    const inLink = event.target instanceof Element && event.target.closest("a") !== null;
    if (!inLink && String(getSelection()) === "") go(deliveryAddress(id));
  };
  const last = one.attempts.at(-1);
  return html`<tr class=${`row ${where.read().callback === String(id) ? "is-open" : ""}`} aria-rowindex=${index} onClick=${open}>
    <td class="of-event"><a data-row href=${deliveryAddress(id)} aria-label=${`Callback ${id}, ${one.event}`}>${one.event}</a>
      <span class="narrow-only quiet">${readable(one.integration)} · task ${one.taskId} · ${plural(one.attempts.length, "attempt")} · <${Time} at=${one.createdAt} /></span></td>
    <td class="of-task wide-only"><a href=${address("tasks", one.taskId)}>${one.taskId}</a>${title !== undefined && html` <span class="quiet">${firstLine(title, 80)}</span>`}</td>
    <td class="of-state"><${Status} status=${one.state} /></td>
    <td class="of-to wide-only">${readable(one.integration)}</td>
    <td class="of-attempts wide-only">${one.attempts.length}${last && one.state !== "delivered" && html` <span class="quiet">${last.status ?? "no answer"}</span>`}</td>
    <td class="of-when wide-only"><${When} one=${one} /></td>
    <td class="of-made wide-only"><${Time} at=${one.createdAt} /></td>
  </tr>`;
}

/** When it is tried next, or was taken. @param {{one: import("./list.js").Delivery}} props */
export const When = ({ one }) =>
  one.state === "dead"
    ? html`<span class="quiet">given up</span>`
    : one.nextAttemptAt !== null
      ? html`<${Time} at=${one.nextAttemptAt} />`
      : one.state === "delivered"
        ? html`<${Time} at=${one.deliveredAt} />`
        : html`<span class="quiet">after an earlier one</span>`;
