/** One task, beside the list: what it is, what became of it, and what a human can do with it. */
import { html, useEffect, useRef } from "../../lib.js";
import { ACTIVE, query, tasks, useResource } from "../../core/data.js";
import { number, plural } from "../../core/format.js";
import { address } from "../../core/router.js";
import { firstLine, readable, safeLink } from "../../core/text.js";
import { Body, Chip, Code, Empty, Icon, Severity, Status, Time, Trouble, Who } from "../../ui/bits.js";
import { Actions } from "./actions.js";
import { History } from "./history.js";
import { taskAddress } from "./list.js";
import { Progress, Seen } from "./parts.js";

/** @typedef {import("../../core/types.js").Task} Task */

/** @param {{id: string}} props as the address has it */
export function Detail({ id }) {
  const known = /^[1-9]\d{0,15}$/.test(id) ? Number(id) : null;
  const { data, error, reload } = useResource(known === null ? null : `/tasks/${known}`);
  const task = known === null ? undefined : /** @type {Task | undefined} */ (tasks.get(known) ?? data ?? undefined);
  const head = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    head.current?.focus();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const gone = known === null || (task === undefined && error?.status === 404);
  return html`<aside class="drawer task-detail" aria-label=${known === null ? "Task" : `Task ${known}`}>
    <header>
      <h2 ref=${head} tabindex="-1" dir="auto">${task ? readable(task.title) : `Task ${firstLine(id, 40)}`}</h2>
      <a class="button plain" data-close href=${taskAddress("")} aria-label="Close" title="Close (Esc)"><${Icon} name="x" /></a>
    </header>
    <div class="drawer-inside" tabindex="0" role="group" aria-label="What is known of it">
      ${gone ? html`<${Empty} title=${known === null ? `${firstLine(id, 40)} is no task’s number` : `There is no task ${known}`} icon="checklist"><p class="quiet">${known !== null && "It was never made, or was closed so long ago that it was deleted."}</p></${Empty}>` : task === undefined ? error !== null && html`<${Trouble} error=${error} reload=${reload} />` : html`<${Inside} task=${task} />`}
    </div>
  </aside>`;
}

/** @param {{task: Task}} props */
function Inside({ task }) {
  const { id, messageId } = task;
  const mine = (/** @type {import("../../core/live.js").LiveEvent} */ { event, data }) =>
    event.startsWith("task.")
      ? data.id === id
      : event === "callback.attempt"
        ? data.taskId === id
        : (data.id ?? data.messageId) === messageId;
  const history = useResource(`/tasks/${id}/events?limit=500`, { on: /^task\./, when: mine, everyMs: 100 });
  const receipts = useResource(`/messages/${messageId}/receipts?limit=500`, {
    on: /^(task|message)\./,
    when: mine,
    pollMs: 15_000,
  });
  const callbacks = useResource(`/callbacks${query({ task: id, limit: 100 })}`, {
    on: /^(task\.|callback\.)/,
    when: mine,
    everyMs: 500,
  });
  const link = safeLink(task.externalUrl);
  return html`<div class="bar task-now">
      <${Status} status=${task.status} /><${Severity} severity=${task.severity} /><${Seen} count=${task.occurrenceCount} />
      ${task.progress !== null && task.closedAt === null && html`<${Progress} percent=${task.progress} />`}
      <span class="grow"></span>
      <a href=${address("threads", messageId)}>Thread</a><a href=${address("timeline", id)}>Timeline</a>
    </div>
    ${link !== null && html`<p><a class="outside" href=${link} target="_blank" rel="noopener noreferrer"><${Icon} name="external-link" />${readable(task.externalUrl ?? "")}</a></p>`}
    ${task.body !== null && html`<${Body} text=${task.body} />`}
    <${Actions} task=${task} reached=${receipts.data?.receipts ?? null} changed=${history.reload} />
    <${Facts} task=${task} />
    ${task.result !== null && html`<section><h3>Result</h3>${typeof task.result === "string" ? html`<${Body} text=${task.result} />` : html`<${Code} text=${json(task.result)} language="JSON" label="Copy the result" />`}</section>`}
    <section><h3>History</h3><${Trouble} error=${history.error} reload=${history.reload} />
      ${history.data && html`<${History} moments=${history.data.events} more=${history.data.next !== undefined} />`}</section>
    <section><h3>Claims</h3><${Trouble} error=${receipts.error} reload=${receipts.reload} />
      ${receipts.data && html`<${Claims} task=${task} receipts=${receipts.data.receipts} />`}</section>
    <section><h3>Callbacks</h3><${Trouble} error=${callbacks.error} reload=${callbacks.reload} />
      ${callbacks.data && html`<${Callbacks} task=${task} deliveries=${callbacks.data.callbacks} more=${callbacks.data.next !== undefined} />`}</section>
    ${Object.keys(task.metadata).length > 0 && html`<section><h3>Metadata</h3><${Code} text=${json(task.metadata)} language="JSON" label="Copy the metadata" /></section>`}`;
}

/** @param {unknown} value */
const json = (value) => readable(JSON.stringify(value, null, 2));

/** @param {{task: Task}} props */
const Facts = ({ task }) =>
  html`<dl class="facts">
    <dt>Task</dt><dd>${task.id}</dd>
    <dt>Source</dt><dd><a href=${address("integrations", task.source)}>${readable(task.source)}</a></dd>
    <dt>Type</dt><dd>${readable(task.type)}</dd>
    <dt>Target</dt><dd><${Who} id=${task.target} /></dd>
    <dt>Channel</dt><dd>${readable(task.channel)}</dd>
    <dt>Claimed by</dt><dd>${task.claimedBy === null ? html`<span class="quiet">nobody</span>` : html`<${Who} id=${task.claimedBy} />`}</dd>
    ${task.dedupeKey !== null && html`<dt>Dedupe key</dt><dd><code>${readable(task.dedupeKey)}</code></dd>`}
    <dt>Seen</dt><dd>${task.occurrenceCount === 1 ? "once" : html`${number(task.occurrenceCount)}×, last <${Time} at=${task.lastSeenAt} />`}</dd>
    <dt>Made</dt><dd><${Time} at=${task.createdAt} /></dd>
    <dt>Changed</dt><dd><${Time} at=${task.updatedAt} /></dd>
    ${task.closedAt !== null && html`<dt>Closed</dt><dd><${Time} at=${task.closedAt} /></dd>`}
  </dl>`;

/** Who tried to claim it, and who won. @param {{task: Task, receipts: import("../../core/types.js").Receipt[]}} props */
function Claims({ task, receipts }) {
  const won = receipts
    .filter(({ claimedAt }) => claimedAt !== null)
    .map(({ agentId, claimedAt }) => ({
      agentId,
      at: /** @type {string} */ (claimedAt),
      to: /** @type {string | null} */ (null),
    }));
  const lost = receipts
    .filter(({ lostAt }) => lostAt)
    .map(({ agentId, lostAt, lostTo }) => ({ agentId, at: /** @type {string} */ (lostAt), to: lostTo }));
  const tries = [...won, ...lost].sort((a, b) => (a.at < b.at ? -1 : 1));
  if (tries.length === 0)
    return html`<p class="quiet">Nobody has tried to claim it. Its target reaches ${plural(receipts.length, "agent")} now.</p>`;
  return html`${lost.length > 0 && html`<p><${Chip} tone="warn">fought over</${Chip}> ${plural(new Set(tries.map((each) => each.agentId)).size, "agent")} tried to claim it.</p>`}
    <ol class="tries">
      ${tries.map(({ agentId, at, to }) => html`<li class=${to === null ? "is-won" : ""}><${Icon} name=${to === null ? "hand-stop" : "x"} /><span><${Who} id=${agentId} /> ${to !== null ? html`lost: <${Who} id=${to} link=${false} /> had it` : agentId === task.claimedBy ? html`<b>won</b>${ACTIVE.includes(task.status) ? " and holds it" : ""}` : "claimed it, and holds it no more"}</span><${Time} at=${at} /></li>`)}
    </ol>`;
}

/** @param {{task: Task, deliveries: import("../../core/types.js").Delivery[], more: boolean}} props */
function Callbacks({ task, deliveries, more }) {
  if (deliveries.length === 0)
    return html`<p class="quiet">None: <a href=${address("integrations", task.source)}>${readable(task.source)}</a> had no callback address when it changed.</p>`;
  return html`<ul class="task-callbacks">
      ${deliveries.map((delivery) => html`<li key=${delivery.id}><a href=${address("integrations", delivery.integration, { task: String(task.id), callback: String(delivery.id) })}>${delivery.event}</a><${Status} status=${delivery.state} /><span class="quiet">${plural(delivery.attempts.length, "attempt")}</span><${Time} at=${delivery.deliveredAt ?? delivery.createdAt} /></li>`)}
    </ul>
    ${more && html`<p><a href=${address("integrations", task.source, { task: String(task.id) })}>All callbacks of this task</a></p>`}`;
}
