/** Writing a message as `human`, to any target. What was begun stays until it is sent, whatever is looked at meanwhile. */
import { html, signal, useEffect, useRef } from "../lib.js";
import { agents } from "../core/data.js";
import { post, Problem } from "../core/api.js";
import { tell, tellProblem } from "../core/toasts.js";
import { Button } from "./bits.js";
import { Dialog } from "./dialog.js";

/** @typedef {{to: string, subject: string, body: string, claimable: boolean, priority: string}} Draft */

/** @type {Map<string, import("../../vendor/signals.js").Signal<Draft>>} */
const drafts = new Map();
/** @param {string} key @param {Partial<Draft>} first */
function draftOf(key, first) {
  let found = drafts.get(key);
  if (found === undefined) {
    found = signal({ to: "", subject: "", body: "", claimable: false, priority: "normal", ...first });
    drafts.set(key, found);
  }
  return found;
}

/** The message being written over the page: to whom, or null. */
export const composing = signal(/** @type {{to: string} | null} */ (null));

/** Every target there is: agents, and what they say and are called. */
export function targets() {
  const found = new Set(["broadcast"]);
  for (const agent of agents.all()) {
    found.add(agent.id);
    for (const tag of agent.tags) found.add(`tag:${tag}`);
    for (const capability of agent.capabilities) found.add(`cap:${capability}`);
    for (const label of agent.labels) found.add(`label:${label}`);
  }
  return [...found].sort();
}

/** Completion for a field of targets. @param {{id: string}} props */
export const TargetList = ({ id }) =>
  html`<datalist id=${id}>${targets().map((target) => html`<option value=${target} />`)}</datalist>`;

/**
 * @param {{id: string, to?: string, replyTo?: number, sent?: (message: import("../core/types.js").Message) => void, focus?: boolean}} props
 *   `id` names the draft; `replyTo` makes it a reply, whose target is given
 */
export function Composer({ id, to = "", replyTo, sent, focus = false }) {
  const draft = draftOf(id, { to });
  const value = draft.value;
  const form = useRef(/** @type {HTMLFormElement | null} */ (null));
  const set = (/** @type {Partial<Draft>} */ change) => (draft.value = { ...draft.value, ...change });
  useEffect(() => {
    if (focus)
      /** @type {HTMLElement | null} */ (form.current?.querySelector(value.to === "" ? "input" : "textarea"))?.focus();
  }, []);
  const reply = replyTo !== undefined;
  const sending = useRef(false);
  const send = async () => {
    if (sending.current) return; // a key that is held down asks again and again
    const { subject, body, claimable, priority } = draft.value;
    const target = reply ? to : draft.value.to;
    if (body.trim() === "" || target.trim() === "") {
      form.current?.reportValidity();
      return;
    }
    /** @type {Record<string, unknown>} */
    const message = { from: "human", to: target.trim(), body };
    if (subject.trim() !== "") message.subject = subject.trim();
    if (claimable) message.claimable = true;
    if (priority !== "normal") message.priority = priority;
    if (replyTo !== undefined) message.replyTo = replyTo;
    sending.current = true;
    try {
      const made = await post("/messages", message);
      drafts.delete(id);
      draft.value = { ...draft.value, subject: "", body: "", claimable: false, priority: "normal" };
      const reached = made.queued
        ? "Kept until that agent appears"
        : `Sent to ${made.recipients} ${made.recipients === 1 ? "recipient" : "recipients"}`;
      tell(reached);
      sent?.(made);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      tellProblem(error, "Could not send");
    } finally {
      sending.current = false;
    }
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      void send();
    }
  };
  return html`<form class="composer" ref=${form} onKeyDown=${key} onSubmit=${(/** @type {Event} */ event) => (event.preventDefault(), void send())}>
    ${
      !reply &&
      html`<div class="pair">
        <label>To <input required value=${value.to} list=${`${id}-targets`} placeholder="agent id, tag:, cap:, label: or broadcast" autocomplete="off" spellcheck=${false}
          onInput=${(/** @type {any} */ event) => set({ to: event.target.value })} /></label>
        <label>Subject <input value=${value.subject} maxlength="1000" placeholder="optional" autocomplete="off" onInput=${(/** @type {any} */ event) => set({ subject: event.target.value })} /></label>
      </div>
      <${TargetList} id=${`${id}-targets`} />`
    }
    <label><span class=${reply ? "unseen" : ""}>${reply ? `Reply to ${to}` : "Message"}</span>
      <textarea required rows=${reply ? 3 : 6} value=${value.body} placeholder=${reply ? `Reply to ${to} as human` : ""} onInput=${(/** @type {any} */ event) => set({ body: event.target.value })}></textarea></label>
    <div class="composer-foot">
      ${
        !reply &&
        html`<label class="check" title="One agent claims it before acting"><input type="checkbox" checked=${value.claimable} onChange=${(/** @type {any} */ event) => set({ claimable: event.target.checked })} /> Claimable</label>`
      }
      <label class="select"><span>Priority</span><select value=${value.priority} onChange=${(/** @type {any} */ event) => set({ priority: event.target.value })}>
        ${["low", "normal", "high", "urgent"].map((priority) => html`<option selected=${priority === value.priority}>${priority}</option>`)}
      </select></label>
      <span class="grow"></span>
      <span class="quiet wide-only"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span>
      <${Button} kind="main" icon="send" run=${send}>Send as human</${Button}>
    </div>
  </form>`;
}

/** The composer over the page. */
export function ComposeDialog() {
  const open = composing.value;
  if (open === null) return null;
  const close = () => (composing.value = null);
  return html`<${Dialog} title="Message" close=${close} kind="compose">
    <${Composer} id=${`new-${open.to}`} to=${open.to} focus sent=${close} />
  </${Dialog}>`;
}
