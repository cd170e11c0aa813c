/** The settings in force, each with where it came from. */
import { html } from "../../lib.js";
import { duration, number } from "../../core/format.js";
import { filters } from "../../core/router.js";
import { readable, spansOf } from "../../core/text.js";
import { Chip, Choice, Icon, Trouble } from "../../ui/bits.js";

/** @typedef {string | number | boolean | string[] | null} Value */
/** @typedef {{name: string, value: Value, source: string, default: Value, unit: string | null, meaning: string, secret: boolean}} Setting */

const where = filters({ settings: ["set"] });
const SOURCES = /** @type {Record<string, string>} */ ({
  flag: "flag",
  environment: "environment",
  file: "file named in the environment",
  env_file: "env file",
  state_file: "state file",
  default: "default",
});
const SHOWS = /** @type {const} */ ([
  ["all", "All"],
  ["set", "Changed"],
]);

/** @param {{list: Setting[] | null, error: import("../../core/api.js").Problem | null, reload: () => void}} props */
export function Settings({ list, error, reload }) {
  const only = where.read().settings === "set";
  const shown = list?.filter(({ source }) => !only || source !== "default") ?? [];
  return html`<section class="panel settings" aria-labelledby="settings-title">
    <header class="panel-head"><h2 id="settings-title">Settings in force</h2>${list && html`<span class="quiet">${number(list.filter(({ source }) => source !== "default").length)} of ${number(list.length)} changed</span>`}<span class="grow"></span>
      <${Choice} label="Which settings" value=${only ? "set" : "all"} options=${SHOWS} set=${(/** @type {string} */ which) => where.set({ settings: which === "set" ? "set" : undefined })} /></header>
    <${Trouble} error=${error} reload=${reload} />
    ${
      list !== null &&
      (shown.length === 0
        ? html`<p class="settings-none">Every setting has its default. <button type="button" class="button small" onClick=${() => where.clear()}>Show all</button></p>`
        : html`<table>
          <thead><tr><th scope="col">Setting</th><th scope="col">Value</th><th scope="col">From</th><th scope="col">Default</th><th scope="col">Meaning</th></tr></thead>
          <tbody>${shown.map((setting) => html`<${Row} key=${setting.name} setting=${setting} />`)}</tbody>
        </table>`)
    }
    <p class="panel-foot quiet">A change takes effect when the relay starts again. Order: flag, environment, env file, default.</p>
  </section>`;
}

/** @param {{setting: Setting}} props */
function Row({ setting }) {
  const { name, value, source, secret, unit, meaning } = setting;
  const given = source !== "default";
  return html`<tr class=${given ? "is-given" : ""}>
    <th scope="row"><code>${name}</code></th>
    <td data-name="Value"><${Shown} value=${value} unit=${unit} secret=${secret} /></td>
    <td data-name="From">${given ? html`<${Chip} tone="note">${SOURCES[source] ?? source}</${Chip}>` : html`<span class="quiet">default</span>`}</td>
    <td data-name="Default" class="quiet"><${Shown} value=${setting.default} unit=${unit} secret=${false} /></td>
    <td class="meaning">${spansOf(meaning).map((span) => (span.kind === "code" ? html`<code>${span.text}</code>` : span.text))}</td>
  </tr>`;
}

/** @param {{value: Value, unit: string | null, secret: boolean}} props */
function Shown({ value, unit, secret }) {
  if (value === null || (Array.isArray(value) && value.length === 0))
    return html`<span class="quiet">${Array.isArray(value) ? "none" : "not set"}</span>`;
  if (secret && !Array.isArray(value)) return html`<span class="secret"><${Icon} name="lock" />set, not shown</span>`;
  if (Array.isArray(value))
    return html`<code>${value.map(readable).join(", ")}</code>${secret && html` <span class="quiet">tokens not shown</span>`}`;
  if (typeof value === "boolean") return html`<code>${value ? "on" : "off"}</code>`;
  const more = unit === "ms" && Number(value) >= 1_000 ? duration(Number(value) / 1_000) : null;
  return html`<code>${readable(String(value))}</code>${unit && html` ${unit}`}${more && html` <span class="quiet">(${more})</span>`}`;
}
