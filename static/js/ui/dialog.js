/** What opens over the page. A dialog is the browser's own: it holds the focus, Esc closes it, the rest is inert. */
import { html, useLayoutEffect, useRef, useState } from "../lib.js";
import { Icon } from "./bits.js";
import { tokenWanted, tokenEntered } from "../core/api.js";

/** @param {{title: string, close?: () => void, kind?: string, children?: import("preact").ComponentChildren}} props without `close` it stays */
export function Dialog({ title, close, kind = "", children }) {
  const box = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const over = useRef(false);
  // Before the effects of what is inside, which may choose what has the focus.
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = box.current;
    dialog?.showModal();
    return () => {
      over.current = true;
      dialog?.close(); // as long as it is open, nothing else takes the focus
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const outside = (/** @type {MouseEvent} */ event) => event.target === box.current && close?.();
  const cancel = (/** @type {Event} */ event) => {
    event.preventDefault();
    close?.();
  };
  // A browser that is asked to close twice does so without asking (no cancel comes): what has to stay is opened again.
  const closed = () => over.current || (close ? close() : box.current?.showModal());
  return html`<dialog class=${kind} ref=${box} aria-label=${title} onCancel=${cancel} onClose=${closed} onMouseDown=${outside}>
    <div class="dialog-inside">
      <header><h2>${title}</h2>${close && html`<button type="button" class="button plain" aria-label="Close" onClick=${close}><${Icon} name="x" /></button>`}</header>
      ${children}
    </div>
  </dialog>`;
}

/** Asks for the token while a call waits for it. */
export function TokenDialog() {
  const why = tokenWanted.value;
  const [value, setValue] = useState("");
  if (why === null) return null;
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = value.trim();
    if (given === "") return;
    setValue("");
    tokenEntered(given);
  };
  return html`<${Dialog} title="This relay asks for its token" kind="token">
    <form onSubmit=${submit}>
      ${why && html`<p class="trouble" role="alert">${why}</p>`}
      <label>Token <input type="password" autocomplete="off" spellcheck=${false} autofocus value=${value}
        onInput=${(/** @type {any} */ event) => setValue(event.target.value)} /></label>
      <p class="quiet">On the relay’s machine, <code>agent-relay token show</code> prints it. It stays in this browser, for this address.</p>
      <button class="button main" type="submit">Enter</button>
    </form>
  </${Dialog}>`;
}
