/** Join: the lines by which an agent comes to this relay, for each kind of client. */
import { html, useRef, useState } from "../lib.js";
import { token } from "../core/api.js";
import { agents, online, useResource } from "../core/data.js";
import { plural } from "../core/format.js";
import { filters } from "../core/router.js";
import { readable } from "../core/text.js";
import { composing } from "../ui/composer.js";
import { Button, Choice, Code, copy, Icon, Time, Who } from "../ui/bits.js";
import { CLIENTS, environment, onLoopback } from "../ui/join-commands.js";

const NAMES = Object.keys(CLIENTS);
const ID = /^(?!(?:broadcast|system|human)$)[A-Za-z0-9._@-]{1,128}$/;
const where = filters({ client: NAMES, id: ID });
const MASK = "••••••••";

export function Join() {
  const asked = where.read();
  const name = asked.client !== undefined && asked.client in CLIENTS ? asked.client : "claude";
  const client = /** @type {(typeof CLIENTS)[string]} */ (CLIENTS[name]);
  const id = asked.id ?? `my-${name}-agent`;
  const settings = useResource("/settings").data?.settings ?? [];
  const secured = token.get() !== null;
  return html`<header class="bar join-head"><h1>Join</h1><span class="grow"></span><${Newest} /></header>
    <div class="join">
      <div class="bar">
        <${Choice} label="Client" value=${name} options=${NAMES.map((key) => [key, CLIENTS[key]?.name ?? key])} set=${(/** @type {string} */ key) => where.set({ client: key })} />
        <${IdField} key=${name} id=${id} />
      </div>
      <p>${client.lead}${client.more && html` <span class="quiet">${client.more}</span>`}</p>
      <ol class="join-steps">
        <${Step} title="Say where the relay is" says=${secured ? "In the terminal in which the agent will run. The relay asks for its token." : "In the terminal in which the agent will run."}><${Environment} secured=${secured} /></${Step}>
        ${client.steps({ id, secured }).map((step) => html`<${Step} key=${step.title} title=${step.title} says=${step.says}><${Code} text=${step.text} language=${step.language} label=${`Copy: ${step.title}`} /></${Step}>`)}
      </ol>
      <div class="bar"><${Button} kind="small" icon="send" run=${() => void (composing.value = { to: id })}>Write to ${id}</${Button}>
        ${client.shell && html`<p class="quiet join-note"><code>agent-relay</code> is the relay’s own command; in a checkout it is <code>.venv/bin/agent-relay</code>. Where it is not installed, use curl or Python.</p>`}</div>
      <${Elsewhere} settings=${settings} />
    </div>`;
}

/** @param {{title: string, says: string, children?: import("preact").ComponentChildren}} props */
const Step = ({ title, says, children }) =>
  html`<li class="panel join-step"><h2>${title}</h2><p class="quiet">${says}</p>${children}</li>`;

/** Who is there, and who came last: the answer to what was just pasted. */
function Newest() {
  const all = agents.all();
  const newest = all.reduce(
    (/** @type {typeof all[number] | null} */ best, agent) =>
      best === null || agent.registeredAt > best.registeredAt ? agent : best,
    null,
  );
  if (newest === null)
    return html`<p class="join-newest" role="status"><span class="pulse" aria-hidden="true"></span> waiting for the first agent…</p>`;
  return html`<p class="join-newest"><span class=${`status is-${online.value > 0 ? "online" : "offline"}`}><span class="dot" aria-hidden="true"></span></span><span role="status">${plural(online.value, "agent")} online, newest: <${Who} id=${newest.id} /></span> <span class="quiet"><${Time} at=${newest.registeredAt} /></span></p>`;
}

/** The id that the lines are made with. @param {{id: string}} props */
function IdField({ id }) {
  const [text, setText] = useState(id);
  const bad = !ID.test(text);
  const input = (/** @type {any} */ event) => {
    setText(event.target.value);
    if (ID.test(event.target.value)) where.set({ id: event.target.value }, { replace: true });
  };
  return html`<label class="join-id"><span>Agent id</span>
    <input value=${text} onInput=${input} spellcheck=${false} autocomplete="off" maxlength="128" aria-invalid=${bad} aria-describedby=${bad ? "join-id-bad" : undefined} />
    ${bad && html`<span id="join-id-bad" class="join-bad">1–128 of A–Z a–z 0–9 . _ @ -, and not broadcast, system or human</span>`}</label>`;
}

/** @param {{secured: boolean}} props */
function Environment({ secured }) {
  const [filled, setFilled] = useState(false);
  const [seen, setSeen] = useState(false);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  if (!secured) return html`<${Code} text=${environment(null)} language="shell" label="Copy: where the relay is" />`;
  const secret = filled ? (token.get() ?? "") : "paste-the-token-here";
  const shown = environment(filled && !seen ? MASK : secret);
  const take = async () => {
    // A page without a clipboard has its text copied by hand, and there the mask would be what is copied.
    if (filled && !seen && !navigator.clipboard) {
      setSeen(true);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await copy(environment(secret), box.current);
  };
  return html`<div class="code">
      <pre tabindex="0" aria-label="Code, shell"><code ref=${box}>${shown}</code></pre>
      <${Button} kind="small plain" icon="copy" label="Copy: where the relay is" run=${() => void take()} />
    </div>
    <div class="bar">
      <label class="check"><input type="checkbox" checked=${filled} onChange=${(/** @type {any} */ event) => (setFilled(event.target.checked), setSeen(false))} /> With the token</label>
      ${
        filled &&
        html`<button type="button" class="button small plain" aria-pressed=${seen} onClick=${() => setSeen(!seen)}>${seen ? "Hide it" : "Show it"}</button>
        <span class="quiet">It is the one this browser uses. Copying takes it along; if this browser signed in by a link, it ends when you sign out.</span>`
      }
    </div>`;
}

/** @typedef {{name: string, value: unknown}} Setting */

/** How another machine comes here. @param {{settings: Setting[]}} props */
function Elsewhere({ settings }) {
  if (!onLoopback())
    return html`<p class="quiet"><${Icon} name="link" /> The lines hold the address under which you opened this page: they work from wherever it does.</p>`;
  const host = String(settings.find(({ name }) => name === "HOST")?.value ?? "127.0.0.1");
  const hasToken = settings.find(({ name }) => name === "AGENT_RELAY_TOKEN")?.value === "set";
  const alone = /^(localhost|127\.|::1)/.test(host);
  const port = location.port || "80";
  if (!alone) {
    const address = /^(0\.0\.0\.0|::)$/.test(host) ? "this machine’s own address" : readable(host);
    return html`<section class="panel join-else"><h2>From another machine</h2>
      <p>This relay listens on <code>${readable(host)}</code>, so others reach it at ${address}, port ${port}. Open this page under that address, and the lines hold it.</p></section>`;
  }
  const secret = hasToken
    ? ""
    : `export AGENT_RELAY_TOKEN="$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"\n`;
  return html`<section class="panel join-else"><h2>From another machine</h2>
    <p>This relay listens on <code>${readable(host)}</code>, which only this machine reaches. To let your network in, stop it and start it again ${hasToken ? "with another address" : "with a token and another address"}; then open this page there under the machine’s address.</p>
    <${Code} text=${`${secret}HOST=0.0.0.0 PORT=${port} agent-relay`} language="shell" label="Copy: for the local network" />
    <p>In a tailnet alone, with Tailscale’s address of this machine:</p>
    <${Code} text=${`${secret}HOST="$(tailscale ip -4)" PORT=${port} agent-relay`} language="shell" label="Copy: for a tailnet" />
    <p class="quiet">Beyond loopback the relay does not start without a token. To keep both settings, put them into the env file, <code>relay.env</code> in the config folder. <code>AGENT_RELAY_TAILNET=1</code>, for loopback and tailnet together, is refused by this version. A relay is not meant for the public internet.</p>
  </section>`;
}
