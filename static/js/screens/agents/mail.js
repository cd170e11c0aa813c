/** What an agent holds, what waits for it, and what it sent. */
import { html, useEffect, useSignal } from "../../lib.js";
import { get } from "../../core/api.js";
import { release } from "../../core/actions.js";
import { tasks, useResource, query } from "../../core/data.js";
import { number } from "../../core/format.js";
import { address } from "../../core/router.js";
import { firstLine } from "../../core/text.js";
import { Button, Chip, Gist, Status, Time, Trouble, Who } from "../../ui/bits.js";
import { held, NONE } from "./state.js";

/** @typedef {import("../../core/types.js").Message} Message */

/** Active tasks, and claimed messages that are no task's. @param {{id: string}} props */
export function Claims({ id }) {
  const numbers = held.value.get(id) ?? NONE;
  const { data, error, reload } = useResource(`/messages${query({ claimedBy: id, limit: 50 })}`, {
    on: /^message\.(claimed|released|deleted)$/,
  });
  /** @type {Message[]} */
  const messages = (data?.messages ?? []).filter((/** @type {Message} */ message) => message.taskId === null);
  const count = numbers.length + messages.length;
  return html`<section aria-label="Claims">
    <h3>Holds ${count > 0 && html`<span class="quiet">${number(count)}${data?.next !== undefined ? " or more" : ""}</span>`}</h3>
    <${Trouble} error=${error} reload=${reload} />
    ${count === 0 && error === null && html`<p class="quiet">No claimed task, and no claimed message.</p>`}
    ${
      count > 0 &&
      html`<ul class="claims">
      ${numbers.map((number_) => html`<${HeldTask} key=${`t${number_}`} id=${number_} />`)}
      ${messages.map(
        (message) => html`<li key=${message.id}>
          <a href=${address("threads", message.threadId, { at: String(message.id) })}><${Gist} message=${message} /></a>
          <span class="quiet">message ${message.id} · since <${Time} at=${message.claimedAt} /></span>
          <${Release} id=${message.id} of=${`message ${message.id}`} /></li>`,
      )}
    </ul>`
    }
  </section>`;
}

/** @param {{id: number}} props */
function HeldTask({ id }) {
  const task = tasks.get(id);
  if (task === undefined) return null;
  return html`<li><a href=${address("tasks", id)}>${firstLine(task.title)}</a>
    <span class="quiet">task ${id} · <${Status} status=${task.status} />${task.progress !== null && ` · ${task.progress} %`}</span>
    <${Release} id=${task.messageId} of=${`task ${id}`} /></li>`;
}

/** @param {{id: number, of: string}} props */
const Release = ({ id, of }) =>
  html`<${Button} kind="small" icon="arrow-back-up" label=${`Release ${of} as human`} title="Take the claim back as human: the work is announced anew" what=${`Could not release ${of}`} done=${`Released ${of}: it is announced anew`} run=${() => release(id)}>Release</${Button}>`;

const PAGE = 30;

/** @param {{id: string, kind: "inbox" | "sent"}} props */
export function Mail({ id, kind }) {
  const inbox = kind === "inbox";
  // An inbox comes oldest first, as the agent reads it; what was sent, newest first. A look of ours is no sign of life.
  const path = inbox
    ? `/messages${query({ for: id, unread: true, peek: true, limit: PAGE })}`
    : `/messages${query({ from: id, limit: PAGE })}`;
  const newest = useResource(path, { on: /^message\./, everyMs: 2_000 });
  const more = useSignal(/** @type {{messages: Message[], next?: number} | null} */ (null));
  useEffect(() => void (more.value = null), [newest.data]);
  if (newest.error !== null) {
    if (newest.error.code !== "agent-secret-required")
      return html`<${Trouble} error=${newest.error} reload=${newest.reload} />`;
    return html`<p class="quiet">This agent has a secret, and only whoever has that may look into its inbox. <a href=${address("threads", "", { to: id })}>Messages sent to it by its id</a></p>`;
  }
  if (newest.data === null) return html`<p class="quiet">…</p>`;
  /** @type {Message[]} */
  const messages = [...newest.data.messages, ...(more.value?.messages ?? [])];
  const next = more.value === null ? newest.data.next : more.value.next;
  const load = async () => {
    const page = await get(`${path}&${inbox ? "sinceId" : "before"}=${next}`);
    more.value = { messages: [...(more.peek()?.messages ?? []), ...page.messages], next: page.next };
  };
  const all = html`<a href=${address("threads", "", { agent: id })}>Every thread with it</a>`;
  if (messages.length === 0)
    return html`<p class="quiet">${inbox ? "It has read everything." : "It has sent nothing yet."} ${all}</p>`;
  return html`<p class="quiet">${inbox ? "Not read yet, in the order in which it will see them." : "What it sent, newest first."} ${all}</p>
    <ul class="mail">
      ${messages.map(
        (
          message,
        ) => html`<li key=${message.id}><a href=${address("threads", message.threadId, message.threadId === message.id ? {} : { at: String(message.id) })}>
          <span class="mail-head"><${Who} id=${inbox ? message.from : message.to} link=${false} />${message.claimable && html`<${Chip} tone="note">claimable</${Chip}>`}<span class="grow"></span><${Time} at=${message.createdAt} /></span>
          <${Gist} message=${message} /></a></li>`,
      )}
    </ul>
    ${next !== undefined && html`<${Button} kind="small" what="Could not get more" run=${load}>${inbox ? "Later ones" : "Earlier"}</${Button}>`}`;
}
