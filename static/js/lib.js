/** The libraries, in one place: every module of ours imports them from here. */
import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export { render, Fragment, createPortal } from "../vendor/preact.js";
export {
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
  useCallback,
  useErrorBoundary,
} from "../vendor/preact-hooks.js";
export {
  signal,
  computed,
  effect,
  batch,
  untracked,
  useSignal,
  useComputed,
  useSignalEffect,
} from "../vendor/signals.js";

/** JSX without a build: `` html`<p class=${x}>…</p>` ``. What is put in is text, never markup. */
export const html = htm.bind(/** @type {any} */ (h));
