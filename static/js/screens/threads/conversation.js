/** One thread: its messages by day, and the reply at its end. */
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib.js";
import { markRead } from "../../core/actions.js";
import { useResource } from "../../core/data.js";
import { dayOf, number } from "../../core/format.js";
import { address, route } from "../../core/router.js";
import { firstLine } from "../../core/text.js";
import { Problem } from "../../core/api.js";
import { Composer } from "../../ui/composer.js";
import { Chip, Empty, Icon, Trouble, Who } from "../../ui/bits.js";
import { hidden, Letter } from "./letter.js";

/** @typedef {import("../../core/types.js").Message} Message */

const PAGE = 60;
const MOST = 500;

/** @param {{id: number}} props of any message of the thread */
export function Conversation({ id }) {
  const first = useResource(`/messages/${id}`);
  const gone = first.error?.status === 404;
  if (gone)
    return html`<section class="panel"><${Empty} title=${`There is no message ${id}`}><p class="quiet">It was deleted, has aged out, or never was.</p><p><a href=${back()} data-close>All threads</a></p></${Empty}></section>`;
  if (first.data === null)
    return html`<section class="panel"><${Trouble} error=${first.error} reload=${first.reload} /></section>`;
  return html`<${Thread} root=${first.data.threadId} />`;
}

const back = () => {
  const { at: _, ...rest } = route.value.query;
  return address("threads", "", rest);
};

/** @param {{root: number}} props */
function Thread({ root }) {
  const [limit, setLimit] = useState(PAGE);
  const { data, error, reload } = useResource(`/messages?thread=${root}&limit=${limit}`, {
    on: /^message\.(new|claimed|released|deleted)$/,
    when: ({ data: about }) => about.threadId === root,
    everyMs: 500,
  });
  const kept = useRef(/** @type {{messages: Message[], next?: number} | null} */ (null));
  if (data !== null) kept.current = data;
  const found = kept.current;
  const messages = useMemo(
    () => [...(found?.messages ?? [])].reverse().filter((message) => !hidden.value.has(message.id)),
    [found, hidden.value],
  );
  useReading(root, messages);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const at = Number(route.value.query.at ?? 0);
  useScrolling(box, messages, at);
  const head = messages[0];
  const [replyTo, setReplyTo] = useState(/** @type {Message | null} */ (null));
  const others = useMemo(() => replyTargets(messages, replyTo), [messages, replyTo]);
  const [to, setTo] = useState("");
  const target = others.includes(to) ? to : (others[0] ?? "");
  if (found !== null && head === undefined)
    return html`<section class="panel"><${Empty} title="Every message of this thread was deleted"><p><a href=${back()} data-close>All threads</a></p></${Empty}></section>`;
  const answered = replyTo ?? messages.at(-1);
  return html`<section class="panel conversation" aria-label="Thread">
    <header class="panel-head">
      <a class="button plain" href=${back()} data-close aria-label="Close this thread"><${Icon} name="chevron-left" /></a>
      <h2>${firstLine(head?.subject ?? head?.body ?? "", 120) || `Thread ${root}`}</h2>
      ${head?.taskId && html`<a class="chip note" href=${address("tasks", head.taskId)}>task ${head.taskId}</a>`}
      ${head?.channel && html`<${Chip}>channel ${firstLine(head.channel, 40)}</${Chip}>`}
      <span class="grow"></span>
      <a class="button small" href=${address("timeline", root)}><${Icon} name="timeline" />Timeline</a>
    </header>
    <${Trouble} error=${error} reload=${reload} />
    <div class="letters" ref=${box} tabindex="0" role="region" aria-label="Messages, oldest first">
      ${found?.next !== undefined && (limit < MOST ? html`<p class="earlier"><button type="button" class="button small" onClick=${() => setLimit(Math.min(MOST, limit * 2))}>Earlier messages</button></p>` : html`<p class="earlier quiet">The newest ${number(MOST)} messages of this thread. Earlier ones are found by search, and by the API.</p>`)}
      <ol>${messages.map((message, index) => html`<${Letter} key=${message.id} message=${message} day=${newDay(messages[index - 1], message)} here=${message.id === at} newest=${index === messages.length - 1} reply=${() => (setReplyTo(message), focusReply(box.current))} />`)}</ol>
    </div>
    ${
      answered &&
      html`<footer class="reply">
      ${replyTo && html`<p class="quiet">In reply to message ${replyTo.id} of <${Who} id=${replyTo.from} link=${false} /> <button type="button" class="button small plain" onClick=${() => setReplyTo(null)}>to the newest instead</button></p>`}
      ${others.length > 1 && html`<label class="select"><span>To</span><select value=${target} onChange=${(/** @type {any} */ event) => setTo(event.target.value)}>${others.map((other) => html`<option value=${other} selected=${other === target}>${firstLine(other, 80)}</option>`)}</select></label>`}
      ${target === "" ? html`<p class="quiet">Nobody to answer: only human and the relay itself have written here.</p>` : html`<${Composer} id=${`reply-${root}`} to=${target} replyTo=${answered.id} sent=${() => setReplyTo(null)} />`}
    </footer>`
    }
  </section>`;
}

/** @param {Element | null} box */
const focusReply = (box) =>
  /** @type {HTMLElement | null} */ (box?.parentElement?.querySelector("footer textarea"))?.focus();

/** Whom a reply may go to: who wrote what is answered, then the others, then where it all went. @param {Message[]} messages @param {Message | null} replyTo */
function replyTargets(messages, replyTo) {
  const found = new Set(replyTo === null ? [] : [replyTo.from]);
  for (const message of [...messages].reverse()) found.add(message.from);
  for (const message of messages) found.add(message.to);
  found.delete("human");
  found.delete("system");
  return [...found];
}

/** @param {Message | undefined} before @param {Message} message */
function newDay(before, message) {
  const day = dayOf(message.createdAt);
  return before === undefined || dayOf(before.createdAt) !== day ? day : null;
}

/** What is looked at for a moment, by a person, is read. @param {number} root @param {Message[]} messages */
function useReading(root, messages) {
  const done = useRef(/** @type {Set<number>} */ (new Set()));
  const { data } = useResource(
    messages.some((message) => message.to === "human" || message.to === "broadcast")
      ? `/messages?for=human&unread=true&peek=true&limit=500&sinceId=${root - 1}`
      : null,
    {
      on: /^message\.(new|read)$/,
      when: ({ data: about }) => about.to === "human" || about.agentId === "human",
      everyMs: 2_000,
    },
  );
  useEffect(() => {
    const mine = /** @type {Message[]} */ (data?.messages ?? []).filter(
      (message) => message.threadId === root && !done.current.has(message.id),
    );
    if (mine.length === 0) return;
    const read = () => {
      if (document.hidden) return;
      for (const message of mine) {
        done.current.add(message.id);
        markRead(message.id).catch((error) => {
          done.current.delete(message.id);
          if (!(error instanceof Problem)) throw error;
        });
      }
    };
    const timer = setTimeout(read, 800);
    document.addEventListener("visibilitychange", read);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", read);
    };
  }, [data]);
}

/** To the message that was asked for, else to the newest; and along with it while one is there. @param {{current: HTMLElement | null}} box @param {Message[]} messages @param {number} at */
function useScrolling(box, messages, at) {
  const begun = useRef(0);
  const atEnd = useRef(true);
  const newest = messages.at(-1)?.id ?? 0;
  useEffect(() => {
    const element = box.current;
    if (element === null) return;
    const look = () => void (atEnd.current = element.scrollHeight - element.scrollTop - element.clientHeight < 40);
    element.addEventListener("scroll", look, { passive: true });
    return () => element.removeEventListener("scroll", look);
  }, [box.current]);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null || newest === 0) return;
    const wanted = at !== 0 && begun.current !== at ? element.querySelector(`[data-message="${at}"]`) : null;
    if (wanted !== null) {
      begun.current = at;
      atEnd.current = false;
      wanted.scrollIntoView({ block: "center" });
    } else if (atEnd.current) element.scrollTop = element.scrollHeight;
  }, [newest, at]);
}
