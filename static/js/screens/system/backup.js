/** The database as a file, fetched with the token, which a link could not carry. */
import { html, useEffect, useRef, useState } from "../../lib.js";
import { send, Problem } from "../../core/api.js";
import { size } from "../../core/format.js";
import { tell, tellProblem } from "../../core/toasts.js";
import { Icon } from "../../ui/bits.js";

const LONG_MS = 3_600_000;
const SHOW_EVERY_MS = 150;

/** @param {{bytes: number | null}} props */
export function Backup({ bytes }) {
  const [progress, setProgress] = useState(/** @type {{got: number, of: number} | null} */ (null));
  const running = useRef(/** @type {AbortController | null} */ (null));
  useEffect(() => () => running.current?.abort(), []);
  const run = async () => {
    const stop = (running.current = new AbortController());
    setProgress({ got: 0, of: 0 });
    try {
      const answer = await send("GET", "/backup", { signal: stop.signal, timeoutMs: LONG_MS });
      const of = Number(answer.headers.get("Content-Length") ?? 0);
      const blob = await read(answer, (got) => setProgress({ got, of }));
      if (of > 0 && blob.size !== of) throw new TypeError("cut off");
      save(blob, nameOf(answer));
      tell(`Backup of ${size(blob.size)} handed to the browser`);
    } catch (error) {
      if (stop.signal.aborted) return;
      // What breaks off in the middle is no answer of the relay's, and has no problem of its own.
      const broken = new Problem({
        status: 0,
        code: "unreachable",
        title: "Broken off",
        detail: "the answer broke off before its end; nothing was saved",
      });
      tellProblem(error instanceof Problem ? error : broken, "Could not make the backup");
    } finally {
      if (running.current === stop) {
        running.current = null;
        setProgress(null);
      }
    }
  };
  const busy = progress !== null;
  return html`<section class="panel system-panel" aria-labelledby="backup-title"><h2 id="backup-title">Backup</h2>
    <p>The whole database, verified, as one file, while the relay runs. It holds every message: keep it as you keep the database.</p>
    <div class="bar">
      <button type="button" class="button small main" onClick=${run} disabled=${busy} aria-busy=${busy}><${Icon} name="download" />Download a backup</button>
      ${busy ? html`<button type="button" class="button small" onClick=${() => running.current?.abort()}>Cancel</button>` : bytes !== null && html`<span class="quiet">about ${size(bytes)}</span>`}
    </div>
    ${
      busy &&
      html`<div class="backup-progress"><progress aria-label="Backup" max=${progress.of || undefined} value=${progress.of ? progress.got : undefined}></progress>
      <span class="quiet" role="status">${progress.of === 0 ? "The relay copies and verifies it…" : `${size(progress.got)} of ${size(progress.of)}`}</span></div>`
    }
    <p class="quiet">On the relay’s machine: <code>agent-relay backup FILE</code>, and with the relay stopped <code>agent-relay restore FILE</code>.</p>
  </section>`;
}

/** @param {Response} answer @param {(got: number) => void} tellGot */
async function read(answer, tellGot) {
  /** @type {BlobPart[]} */
  const parts = [];
  const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body).getReader();
  let got = 0;
  let told = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    parts.push(value);
    got += value.byteLength;
    if (performance.now() - told > SHOW_EVERY_MS) {
      told = performance.now();
      tellGot(got);
    }
  }
  return new Blob(parts, { type: "application/vnd.sqlite3" });
}

/** @param {Response} answer */
const nameOf = (answer) =>
  /filename="([\w.-]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? "agent-relay.db";

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
