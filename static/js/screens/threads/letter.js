/** One message of a thread, what became of it, and what can be done with it. */
import { html, signal, useState } from "../../lib.js";
import { claim, deleteMessage, release } from "../../core/actions.js";
import { agents, useResource } from "../../core/data.js";
import { Problem } from "../../core/api.js";
import { relayNow } from "../../core/format.js";
import { tellProblem } from "../../core/toasts.js";
import { address } from "../../core/router.js";
import { readable } from "../../core/text.js";
import { Body, Button, Chip, copy, Icon, Time, Trouble, Who } from "../../ui/bits.js";
import { Dialog } from "../../ui/dialog.js";

/** @typedef {import("../../core/types.js").Message} Message */
/** @typedef {import("../../core/types.js").Receipt} Receipt */

/** Messages that are about to be deleted. */
export const hidden = signal(/** @type {ReadonlySet<number>} */ (new Set()));

/** @param {{message: Message, day: string | null, here: boolean, newest: boolean, reply: () => void}} props */
export function Letter({ message, day, here, newest, reply }) {
  const [receipts, setReceipts] = useState(newest);
  const [choosing, setChoosing] = useState(false);
  const own = message.from === "human";
  const expired = message.expiresAt !== null && Date.parse(message.expiresAt) < relayNow();
  const remove = () =>
    deleteMessage(message, {
      hide: () => (hidden.value = new Set([...hidden.value, message.id])),
      show: () => (hidden.value = new Set([...hidden.value].filter((id) => id !== message.id))),
    });
  return html`${day && html`<li class="day" aria-label=${day}><span>${day}</span></li>`}
    <li>
      <article class=${`letter ${own ? "is-own" : ""} ${here ? "is-here" : ""}`} data-message=${message.id} aria-label=${`Message ${message.id} from ${readable(message.from)}`}>
        <header>
          <${Who} id=${message.from} />${message.verified && html`<${Chip} tone="good" title="The sender has shown its agent secret">verified</${Chip}>`}
          <${Icon} name="arrow-narrow-right" /><span class="unseen">to</span><${Who} id=${message.to} />
          <span class="grow"></span>
          ${message.priority !== "normal" && html`<${Chip} tone=${message.priority === "urgent" ? "bad" : message.priority === "high" ? "warn" : ""}>${message.priority}</${Chip}>`}
          ${message.kind !== "message" && html`<${Chip}>${message.kind}</${Chip}>`}
          <a class="quiet" href=${address("threads", message.id, { at: String(message.id) })} aria-label=${`Message ${message.id}`}>#${message.id}</a>
          <${Time} at=${message.createdAt} />
        </header>
        ${message.subject && html`<h3>${readable(message.subject)}</h3>`}
        <${Body} text=${message.body} />
        <footer>
          ${
            message.claimable &&
            html`<span class="claim">${
              message.claimedBy !== null
                ? html`<${Icon} name="hand-stop" /> claimed by <${Who} id=${message.claimedBy} /> <${Time} at=${message.claimedAt} />`
                : expired
                  ? html`<${Icon} name="lock" /> closed`
                  : html`<${Icon} name="hand-stop" /> claimable, nobody holds it`
            }</span>`
          }
          ${message.taskId !== null && html`<a class="chip note" href=${address("tasks", message.taskId)}>task ${message.taskId}</a>`}
          <span class="grow"></span>
          ${message.claimable && message.claimedBy === null && !expired && html`<button type="button" class="button small" onClick=${() => setChoosing(true)}>Claim for…</button>`}
          ${message.claimable && message.claimedBy !== null && !expired && html`<${Button} kind="small" run=${() => release(message.id)} what="Could not release" done="Released: it is announced anew">Release</${Button}>`}
          <button type="button" class="button small plain" aria-expanded=${receipts} onClick=${() => setReceipts(!receipts)}>Receipts</button>
          <button type="button" class="button small plain" onClick=${reply} aria-label=${`Reply to message ${message.id}`}><${Icon} name="arrow-back-up" /></button>
          <button type="button" class="button small plain" onClick=${() => void copy(message.body)} aria-label=${`Copy message ${message.id}`}><${Icon} name="copy" /></button>
          <button type="button" class="button small plain" onClick=${remove} aria-label=${`Delete message ${message.id}`}><${Icon} name="trash" /></button>
        </footer>
        ${receipts && html`<${Receipts} id=${message.id} />`}
      </article>
      ${choosing && html`<${ClaimFor} message=${message} close=${() => setChoosing(false)} />`}
    </li>`;
}

/** @param {{id: number}} props */
function Receipts({ id }) {
  const { data, error, reload } = useResource(`/messages/${id}/receipts?limit=100`, {
    on: /^message\./,
    when: ({ data: about }) => about.messageId === id || about.id === id,
  });
  if (data === null) return html`<${Trouble} error=${error} reload=${reload} />`;
  /** @type {Receipt[]} */
  const found = data.receipts;
  if (found.length === 0)
    return html`<p class="receipts quiet">It reaches nobody so far: whoever comes to match finds it if it is claimable.</p>`;
  return html`<ul class="receipts" aria-label=${`Receipts of message ${id}`}>
    ${found.map((receipt) => html`<li key=${receipt.agentId}><${Who} id=${receipt.agentId} /> <b>${receipt.state}</b> <span class="quiet">${steps(receipt)}</span></li>`)}
    ${data.next && html`<li class="quiet">and more than a hundred others</li>`}
  </ul>`;
}

/** What happened, in the order of states. @param {Receipt} receipt */
function steps(receipt) {
  const said = [];
  if (receipt.offeredAt)
    said.push(
      html`offered${receipt.offeredBy ? ` by ${readable(receipt.offeredBy)}` : ""} <${Time} at=${receipt.offeredAt} />`,
    );
  if (receipt.deliveredAt)
    said.push(
      html`delivered${receipt.deliveredBy ? ` by ${readable(receipt.deliveredBy)}` : ""} <${Time} at=${receipt.deliveredAt} />`,
    );
  if (receipt.readAt) said.push(html`read <${Time} at=${receipt.readAt} />`);
  if (receipt.claimedAt) said.push(html`claimed <${Time} at=${receipt.claimedAt} />`);
  if (receipt.lostAt)
    said.push(html`tried to claim <${Time} at=${receipt.lostAt} />, lost to ${readable(receipt.lostTo ?? "another")}`);
  if (said.length === 0) said.push(html`since <${Time} at=${receipt.queuedAt} />`);
  return said.map((part, index) => html`${index > 0 ? " · " : ""}${part}`);
}

/** On whose behalf. @param {{message: Message, close: () => void}} props */
function ClaimFor({ message, close }) {
  const possible = agents.all().filter((agent) => reaches(message, agent));
  const [choice, setChoice] = useState(possible[0]?.id ?? "");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await claim(message.id, choice);
      close();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      tellProblem(error, "Could not claim");
    }
  };
  return html`<${Dialog} title=${`Claim message ${message.id} for an agent`} close=${close}>
    ${
      possible.length === 0
        ? html`<p>No agent that is registered receives what goes to <${Who} id=${message.to} link=${false} />.</p>`
        : html`<form onSubmit=${submit}>
      <label>Agent <select value=${choice} onChange=${(/** @type {any} */ event) => setChoice(event.target.value)}>${possible.map((agent) => html`<option value=${agent.id} selected=${agent.id === choice}>${agent.id} (${agent.status})</option>`)}</select></label>
      <p class="quiet">It holds the work from then on, as if it had claimed it itself.</p>
      <div class="bar"><span class="grow"></span><button class="button main" type="submit">Claim</button></div>
    </form>`
    }
  </${Dialog}>`;
}

/** Whether a message's target includes an agent. @param {{to: string, from: string}} message @param {import("../../core/types.js").Agent} agent */
export function reaches(message, agent) {
  if (agent.id === message.from) return false;
  const [kind, name] = message.to.includes(":")
    ? [message.to.slice(0, message.to.indexOf(":")), message.to.slice(message.to.indexOf(":") + 1)]
    : ["", message.to];
  if (kind === "tag") return agent.tags.includes(name);
  if (kind === "cap") return agent.capabilities.includes(name);
  if (kind === "label") return agent.labels.includes(name);
  return message.to === "broadcast" || message.to === agent.id;
}
