/** One callback, beside the list: each attempt, and what was sent. */
import { html, useEffect, useRef } from "../../lib.js";
import { redeliver } from "../../core/actions.js";
import { onEvents, tasks, useResource } from "../../core/data.js";
import { duration, plural } from "../../core/format.js";
import { address } from "../../core/router.js";
import { readable } from "../../core/text.js";
import { Button, Chip, Code, Empty, Icon, Status, Time, Trouble } from "../../ui/bits.js";
import { deliveries, deliveryAddress } from "./list.js";
import { When } from "./deliveries.js";

/** @typedef {import("./list.js").Delivery} Delivery */
/** @typedef {import("../../core/types.js").TaskMoment} Moment */

/** @param {{id: number}} props */
export function DeliveryDrawer({ id }) {
  // The relay answers lists alone: the newest one up to this is this one, or it is gone.
  const { data, error, reload } = useResource(`/callbacks?before=${id + 1}&limit=1`, {
    on: /^callback\.attempt$/,
    when: ({ data: one }) => one.id === id,
    everyMs: 200,
  });
  /** @type {Delivery | undefined} */
  const asked = data?.callbacks[0];
  useEffect(() => {
    if (asked?.id === id) deliveries.put(asked);
  }, [asked]);
  useEffect(
    () =>
      onEvents((events) => {
        for (const { event, data: one } of events)
          if (event === "callback.attempt" && one.id === id) deliveries.put(one);
      }),
    [],
  );
  const one = deliveries.get(id) ?? (asked?.id === id ? asked : undefined);
  const head = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const before = document.activeElement;
    head.current?.focus();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return html`<aside class="drawer delivery" aria-label=${`Callback ${id}`}>
    <header><h2 ref=${head} tabindex="-1">Callback ${id}</h2>
      ${one && html`<${Button} kind="small" icon="refresh" what="Could not redeliver" run=${async () => (await redeliver(id), reload())}>Redeliver</${Button}>`}
      <a class="button plain" data-close href=${deliveryAddress(undefined)} aria-label="Close" title="Close (Esc)"><${Icon} name="x" /></a></header>
    <div class="drawer-inside" tabindex="0" role="group" aria-label="What is known of it">
      <${Trouble} error=${error} reload=${reload} />
      ${one !== undefined ? html`<${Inside} one=${one} />` : data !== null && html`<${Empty} title=${`There is no callback ${id}`} icon="webhook"><p class="quiet">Callbacks go with their task, some time after it was closed.</p></${Empty}>`}
    </div>
  </aside>`;
}

/** @param {{one: Delivery}} props */
function Inside({ one }) {
  return html`<dl class="facts">
      <dt>State</dt><dd><${Status} status=${one.state} /></dd>
      <dt>Event</dt><dd>${one.event}</dd>
      <dt>Integration</dt><dd><a href=${address("integrations", one.integration)}>${readable(one.integration)}</a></dd>
      <dt>Task</dt><dd><a href=${address("tasks", one.taskId)}>${one.taskId}</a> ${readable(tasks.get(one.taskId)?.title ?? "")}</dd>
      <dt>Made</dt><dd><${Time} at=${one.createdAt} /></dd>
      <dt>${one.nextAttemptAt !== null ? "Next attempt" : one.state === "delivered" ? "Delivered" : "Next attempt"}</dt><dd><${When} one=${one} /></dd>
      <dt>Webhook id</dt><dd><code>${one.webhookId}</code></dd>
    </dl>
    <section><h3>${plural(one.attempts.length, "attempt")}</h3>
      ${one.attempts.length === 0 ? html`<p class="quiet">Not tried yet.</p>` : html`<${Attempts} attempts=${one.attempts} />`}</section>
    <section><h3>Request</h3><${Request} one=${one} /></section>`;
}

/** @param {{attempts: import("../../core/types.js").Attempt[]}} props */
function Attempts({ attempts }) {
  const last = attempts.findLast(({ response }) => response !== null && response !== "");
  return html`<table class="attempts" aria-label="Attempts, newest first">
      <thead><tr><th scope="col">No.</th><th scope="col">When</th><th scope="col">Took</th><th scope="col">Answer</th></tr></thead>
      <tbody>${[...attempts].reverse().map(
        (
          attempt,
        ) => html`<tr key=${attempt.number}><td>${attempt.number}</td><td><${Time} at=${attempt.at} /></td><td>${duration(attempt.durationMs / 1000)}</td>
          <td><${Answer} attempt=${attempt} />${attempt !== last && attempt.response ? html`<details><summary>What it answered</summary><${Code} text=${readable(attempt.response)} label="Copy this answer" /></details>` : ""}</td></tr>`,
      )}</tbody>
    </table>
    ${last && html`<h4>The answer to attempt ${last.number}</h4><${Code} text=${readable(last.response ?? "")} label="Copy the answer" />`}`;
}

/** @param {{attempt: import("../../core/types.js").Attempt}} props */
const Answer = ({ attempt: { status, error } }) =>
  html`${status !== null && html`<${Chip} tone=${error === null ? "good" : "bad"}>${status}</${Chip}> `}${error === null ? html`<span class="quiet">taken</span>` : readable(error)}`;

/** What was posted, as far as it can be told: a delivery has the number of the moment that it tells of. @param {{one: Delivery}} props */
function Request({ one }) {
  const moment = useResource(`/tasks/${one.taskId}/events?since=${one.id - 1}&limit=1`);
  const task = useResource(`/tasks/${one.taskId}`);
  const error = moment.error ?? task.error;
  /** @type {Moment | undefined} */
  const then = moment.data?.events[0];
  if (error !== null) return html`<${Trouble} error=${error} reload=${() => (moment.reload(), task.reload())} />`;
  if (moment.data === null || task.data === null) return null;
  const known = then !== undefined && then.id === one.id;
  /** @type {Record<string, unknown>} */
  const shown = { ...task.data };
  if (known)
    Object.assign(shown, {
      status: then.status,
      severity: then.severity,
      claimedBy: then.claimedBy,
      progress: then.progress,
      result: then.result,
      occurrenceCount: then.occurrenceCount,
      updatedAt: then.at,
      closedAt: ["done", "failed", "cancelled"].includes(then.status) ? then.at : null,
    });
  const text = readable(JSON.stringify({ event: one.event, task: shown }, null, 2));
  return html`<p class="quiet">${known ? "The relay keeps no copy of what it posts. Status, severity, claimant, progress, result and count are those of that moment, from the task’s history; the rest is as the task has it now." : "The relay keeps no copy of what it posts, and that moment is gone from the task’s history: this is the task as it is now."}</p>
    <${Code} text=${`POST\nContent-Type: application/json\nwebhook-id: ${one.webhookId}\n\n${text}`} language="HTTP" label="Copy the request" />`;
}
