/** The integrations in force: what each may do, how it fares, and a test of it. */
import { html, useState } from "../../lib.js";
import { post } from "../../core/api.js";
import { clockOf, fullTime, number, plural } from "../../core/format.js";
import { address } from "../../core/router.js";
import { readable } from "../../core/text.js";
import { attempt } from "../../core/toasts.js";
import { Button, Chip, Icon, Time } from "../../ui/bits.js";
import { TargetList } from "../../ui/composer.js";
import { Dialog } from "../../ui/dialog.js";

/** @typedef {import("./parts.js").Integration} Integration */
/** @typedef {import("../../core/types.js").Task} Task */

const COUNTS = /** @type {const} */ ([
  ["accepted", "accepted", "made a task"],
  ["deduped", "deduped", "counted at an active task"],
  ["resolved", "resolved", "said that something is over"],
  ["refused", "refused", "answered with an error"],
  ["rateLimited", "rate-limited", "too many in a minute"],
]);

/** @param {{one: Integration, alone: boolean}} props */
export function Card({ one, alone }) {
  const { name, counts } = one;
  const said = readable(name);
  return html`<li class="panel integration"><article aria-label=${said}>
    <header><h2>${alone ? said : html`<a href=${address("integrations", name)}>${said}</a>`}</h2><${Test} one=${one} /></header>
    <dl class="facts">
      <dt>Scopes</dt><dd><${Words} words=${one.scopes} all="all" /></dd>
      <dt>Targets</dt><dd><${Words} words=${one.targets} all="any" /></dd>
      <dt>Channels</dt><dd><${Words} words=${one.channels} all="any" /></dd>
      <dt>Callbacks</dt><dd>${one.callbackUrl === null ? html`<span class="quiet">none: no callback address</span>` : html`<code>${readable(one.callbackUrl)}</code> ${one.signed ? html`<${Chip} tone="good"><${Icon} name="lock" />signed</${Chip}>` : html`<${Chip} title="It has no callback secret">not signed</${Chip}>`}`}</dd>
    </dl>
    <dl class="counts" aria-label="What became of its events">
      ${COUNTS.map(([key, word, why]) => html`<div class=${counts[key] > 0 && (key === "refused" || key === "rateLimited") ? "warn" : ""} title=${`Events that ${key === "refused" ? "were " : key === "rateLimited" ? "were " : ""}${why}`}><dt>${word}</dt><dd>${number(counts[key])}</dd></div>`)}
    </dl>
    <p class="integration-foot">
      <a href=${address("tasks", "", { source: name })}>${plural(one.tasks, "active task")}</a>
      ${
        one.callbackUrl !== null || one.pendingCallbacks + one.deadCallbacks > 0
          ? html`<a href=${address("integrations", name, { state: "pending" })}>${number(one.pendingCallbacks)} pending</a>
        <a class=${one.deadCallbacks > 0 ? "is-bad" : ""} href=${address("integrations", name, { state: "dead" })}>${number(one.deadCallbacks)} dead</a>`
          : ""
      }
      <span class="grow"></span>
      <span class="quiet">last event <${Time} at=${one.lastEventAt} /> · counts since <time datetime=${one.countsSince} title=${fullTime(one.countsSince)}>${clockOf(one.countsSince)}</time></span>
    </p>
  </article></li>`;
}

/** @param {{words: string[], all: string}} props */
const Words = ({ words, all }) =>
  words.includes("*")
    ? html`<span class="quiet">${all}</span>`
    : html`<span class="words">${words.map((word) => html`<code>${readable(word)}</code>`)}</span>`;

/** Whether there is but one to take. @param {string[]} words */
const only = (words) => words.length === 1 && words[0] !== "*";

/** A test event; where it goes is asked only where there is a choice. @param {{one: Integration}} props */
function Test({ one }) {
  const [asking, setAsking] = useState(false);
  const [made, setMade] = useState(/** @type {Task | null} */ (null));
  const able = one.scopes.includes("tasks:create") || one.scopes.includes("*");
  if (!able) return html`<span class="quiet">may not make tasks</span>`;
  const send = async (/** @type {{target?: string, channel?: string}} */ to) => {
    const answer = await post(`/integrations/${encodeURIComponent(one.name)}/test`, to);
    setMade(answer.task);
  };
  return html`<span class="test-made" role="status">${made !== null && html`<a href=${address("tasks", made.id)}>${made.occurrenceCount > 1 ? `task ${made.id}, seen ${number(made.occurrenceCount)}×` : `made task ${made.id}`}</a>`}</span>
    <${Button} kind="small" icon="send" what=${`Could not test ${one.name}`} run=${() => (only(one.targets) && only(one.channels) ? send({}) : setAsking(true))}>Send a test event</${Button}>
    ${asking && html`<${WhereTo} one=${one} send=${send} close=${() => setAsking(false)} />`}`;
}

/** @param {{one: Integration, send: (to: {target: string, channel: string}) => Promise<void>, close: () => void}} props */
function WhereTo({ one, send, close }) {
  const first = (/** @type {string[]} */ words, /** @type {string} */ other) =>
    words.includes("*") ? other : (words[0] ?? other);
  const [target, setTarget] = useState(first(one.targets, "human"));
  const [channel, setChannel] = useState(first(one.channels, "test"));
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    const well = await attempt(`Could not test ${one.name}`, () =>
      send({ target: target.trim(), channel: channel.trim() }),
    );
    setBusy(false);
    if (well) close();
  };
  return html`<${Dialog} title=${`Test ${readable(one.name)}`} close=${close} kind="test-event">
    <form onSubmit=${submit}>
      <p class="quiet">It makes a real task of the type <code>test</code>, callbacks and all. Who is reached by the target sees it.</p>
      <${Pick} label="Target" words=${one.targets} value=${target} set=${setTarget} list="test-targets" />
      <${Pick} label="Channel" words=${one.channels} value=${channel} set=${setChannel} />
      <${TargetList} id="test-targets" />
      <div class="bar"><span class="grow"></span><button type="submit" class="button main" disabled=${busy} aria-busy=${busy}>Send the test event</button></div>
    </form>
  </${Dialog}>`;
}

/** One of those that it may use, or any. @param {{label: string, words: string[], value: string, set: (value: string) => void, list?: string}} props */
const Pick = ({ label, words, value, set, list }) =>
  words.includes("*")
    ? html`<label>${label} <input required maxlength="200" value=${value} list=${list} autocomplete="off" spellcheck=${false} onInput=${(/** @type {any} */ event) => set(event.target.value)} /></label>`
    : html`<label>${label} <select value=${value} onChange=${(/** @type {any} */ event) => set(event.target.value)}>${words.map((word) => html`<option value=${word} selected=${word === value}>${readable(word)}</option>`)}</select></label>`;
