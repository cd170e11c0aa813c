/** Integrations: what each may do and how it fares, and the callbacks that tell them of their tasks. */
import { html } from "../lib.js";
import { useResource } from "../core/data.js";
import { address, route } from "../core/router.js";
import { readable } from "../core/text.js";
import { Code, Empty, Icon, Trouble } from "../ui/bits.js";
import { Card } from "./integrations/cards.js";
import { addCommandWithCallbacks } from "./integrations/commands.js";
import { Deliveries } from "./integrations/deliveries.js";
import { DeliveryDrawer } from "./integrations/delivery.js";
import { where } from "./integrations/list.js";

/** @typedef {import("./integrations/parts.js").Integration} Integration */

export function Integrations() {
  const { id: name } = route.value;
  const { callback } = where.read();
  // What is refused is no event, so that somebody has to ask.
  const { data, error, reload } = useResource("/integrations", {
    on: /^(task\.|callback\.attempt)/,
    everyMs: 2_000,
    pollMs: 15_000,
  });
  /** @type {Integration[] | null} */
  const all = data?.integrations ?? null;
  const shown = all?.filter((one) => name === "" || one.name === name) ?? [];
  return html`<div class="bar"><h1>${name === "" ? "Integrations" : html`<a href=${address("integrations")}>Integrations</a> <${Icon} name="chevron-right" /> ${readable(name)}`}</h1></div>
    <${Trouble} error=${error} reload=${reload} />
    ${all !== null && all.length === 0 && name === "" && html`<${NoIntegrations} />`}
    ${all !== null && name !== "" && shown.length === 0 && html`<p class="panel not-in-force"><${Icon} name="webhook" /> No integration named <b>${readable(name)}</b> is in force. What it made stays: <a href=${address("tasks", "", { source: name })}>its tasks</a>, and its callbacks below.</p>`}
    ${shown.length > 0 && html`<ul class=${`integrations ${name === "" ? "" : "is-one"}`} aria-label="Integrations in force">${shown.map((one) => html`<${Card} key=${one.name} one=${one} alone=${name !== ""} />`)}</ul>`}
    ${all !== null && html`<${Deliveries} names=${all.map((one) => one.name)} />`}
    ${callback !== undefined && html`<${DeliveryDrawer} key=${callback} id=${Number(callback)} />`}`;
}

const NoIntegrations = () =>
  html`<${Empty} title="No integrations yet" icon="webhook">
    <p>An integration is an outside system with a token of its own, such as a build server or a monitor. It makes tasks for agents, and can be told what becomes of them. On the relay’s machine:</p>
    <${Code} text=${addCommandWithCallbacks()} label="Copy the command that adds an integration" />
    <p class="quiet">It prints the token, and the secret that callbacks are signed with, once. The relay takes it up by itself; leave out <code>--callback-url</code> where nobody is to be told.</p>
    <p class="quiet" role="status"><span class="pulse" aria-hidden="true"></span> waiting for the first integration…</p>
  </${Empty}>`;
