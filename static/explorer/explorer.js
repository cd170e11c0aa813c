// The API explorer: shows the relay's OpenAPI document and tries its operations. No library, no storage, text nodes only.

/** Bodies worth sending, where the schema alone would make a dull one. */
const EXAMPLES = {
  register_agent: { id: "alice", labels: ["Alice"], tags: ["backend"], capabilities: ["chat"] },
  patch_agent: { labels: ["Alice at the desk"] },
  heartbeat: { status: "busy" },
  send_messages: { from: "human", to: "alice", subject: "Greeting", body: "Good morning. What are you working on?" },
};
/** Headers that operations read, which the document does not list. */
const HEADERS = { send_messages: ["Idempotency-Key"], stream_events: ["Last-Event-ID"] };
const SHOWN_HEADERS = ["content-type", "x-request-id", "retry-after", "allow", "www-authenticate"];
const KEPT_EVENTS = 200;
const NOTHING_TO_SAY = "^[^\\x00]*$";

const $ = (id) => document.getElementById(id);
const token = $("token");
const secret = $("secret");
/** What the last answers were about, to fill in for the next call. */
const known = { agent_id: "alice", message_id: "" };
let api = null;

/** An element with attributes and children; strings become text. */
function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text in which `backticks` mark code. */
function prose(text) {
  return text.split("`").map((piece, index) => (index % 2 ? el("code", {}, piece) : piece));
}

// -- schemas ----------------------------------------------------------------------------------------------------------

function resolve(schema) {
  let found = schema;
  while (found?.$ref) {
    const { $ref, ...beside } = found;
    found = { ...api.components.schemas[$ref.split("/").pop()], ...beside };
  }
  return found ?? {};
}

/** The schema without "or null", and whether null is allowed. */
function withoutNull(schema) {
  const whole = resolve(schema);
  const options = whole.anyOf ?? whole.oneOf;
  if (!options) return [whole, false];
  const left = options.filter((option) => option.type !== "null");
  if (left.length === 1)
    return [
      { ...resolve(left[0]), ...("default" in whole ? { default: whole.default } : {}) },
      left.length < options.length,
    ];
  return [{ ...whole, options: left }, left.length < options.length];
}

function kindOf(schema) {
  const [core, nullable] = withoutNull(schema);
  let kind;
  if (core.options)
    kind = [...core.options]
      .sort((a, b) => (resolve(a).type === "array") - (resolve(b).type === "array"))
      .map(kindOf)
      .join(" or ");
  else if (core.enum) kind = core.enum.map((word) => JSON.stringify(word)).join(" | ");
  else if (core.type === "array")
    kind = `array${range(core.minItems, core.maxItems, "items")} of ${kindOf(core.items ?? {})}`;
  else if (core.type === "object" && core.properties) kind = core.title ?? "object";
  else if (core.type === "string")
    kind = `${core.format ?? "string"}${range(core.minLength, core.maxLength, "characters")}`;
  else if (core.type === "integer" || core.type === "number")
    kind = `${core.type}${range(core.minimum, core.maximum, "")}`;
  else kind = core.type ?? "any";
  return nullable ? `${kind} or null` : kind;
}

function range(least, most, unit) {
  const end = most !== undefined && most < Number.MAX_SAFE_INTEGER ? most.toLocaleString("en") : "";
  if (least === undefined && !end) return "";
  if (unit && least === 1 && !end) return ", not empty";
  const said = end ? (least === undefined ? `≤ ${end}` : `${least}–${end}`) : `≥ ${least}`;
  return unit ? ` (${said} ${unit})` : ` ${said}`;
}

/** The object schemas that a schema leads to: itself, what an array holds, or each alternative. */
function objectsIn(schema) {
  const [core] = withoutNull(schema);
  if (core.options) return core.options.flatMap(objectsIn);
  if (core.type === "array") return objectsIn(core.items ?? {});
  return core.type === "object" && core.properties ? [core] : [];
}

function fieldItem(name, schema, { mark = "", seen = [], asked = true } = {}) {
  const [core] = withoutNull(schema);
  const notes = [];
  if (core.pattern && core.pattern !== NOTHING_TO_SAY && !core.description) notes.push(`matches ${core.pattern}`);
  if (core.default !== undefined && core.default !== null) notes.push(`default ${JSON.stringify(core.default)}`);
  const inner = objectsIn(core).filter((found) => !seen.includes(found.title));
  const described = core.description && !(core.type === "object" || core.enum) ? core.description : "";
  return el(
    "li",
    {},
    el("code", { class: "name" }, name),
    " ",
    mark ? el("span", { class: "mark" }, `${mark} `) : null,
    el("span", { class: "kind" }, [kindOf(schema), described, ...notes].filter(Boolean).join(" · ")),
    ...inner.map((found) => fieldList(found, { seen, asked })),
  );
}

/** The fields of an object: of a request those that must be there are marked, of an answer those that may be missing. */
function fieldList(schema, { seen = [], asked }) {
  const path = [...seen, schema.title];
  const needed = new Set(schema.required ?? []);
  const mark = (name) => {
    if (asked) return needed.has(name) ? "required" : "";
    return needed.has(name) || "default" in resolve(schema.properties[name]) ? "" : "where it applies";
  };
  return el(
    "ul",
    { class: "fields" },
    ...Object.entries(schema.properties).map(([name, part]) =>
      fieldItem(name, part, { mark: mark(name), seen: path, asked }),
    ),
  );
}

function exampleOf(schema) {
  const [core] = withoutNull(schema);
  if (core.examples?.length) return core.examples[0];
  if (core.default !== undefined && core.default !== null) return core.default;
  if (core.options) return exampleOf(core.options[0]);
  if (core.enum) return core.enum[0];
  if (core.type === "array") return [exampleOf(core.items ?? {})];
  if (core.type === "object")
    return Object.fromEntries((core.required ?? []).map((name) => [name, exampleOf(core.properties[name])]));
  if (core.type === "integer" || core.type === "number") return core.minimum ?? 0;
  if (core.type === "boolean") return false;
  return core.type === "string" ? "text" : null;
}

// -- the page ---------------------------------------------------------------------------------------------------------

async function load() {
  const notice = $("notice");
  let answer;
  try {
    answer = await fetch("/api/openapi.json", { headers: credentials(), cache: "no-store" });
  } catch {
    tell(notice, "The relay does not answer. Is it running? Reload to try again.", true);
    return;
  }
  if (answer.status === 401) {
    const wrong = token.value !== "";
    tell(
      notice,
      wrong ? "The relay does not take this token." : "This relay asks for its token: type it in above and press Use.",
      wrong,
    );
    if (document.activeElement === document.body) token.focus();
    return;
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    tell(notice, problem.detail ?? `The relay answered ${answer.status}.`, true);
    return;
  }
  const first = api === null;
  api = await answer.json();
  tell(notice, first ? "" : "The relay takes this token.");
  if (first) {
    show();
    follow();
  }
}

function tell(notice, text, bad = false) {
  notice.textContent = text;
  notice.classList.toggle("bad", bad);
}

function show() {
  const byTag = new Map((api.tags ?? []).map((tag) => [tag.name, []]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "other";
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push({ path, method, operation });
    }
  }
  for (const [tag, entries] of byTag) {
    if (!entries.length) continue;
    $("contents").append(
      el(
        "section",
        { class: "group" },
        el("h2", {}, tag),
        el(
          "ul",
          {},
          ...entries.map((entry) =>
            el(
              "li",
              { "data-words": words(entry) },
              el(
                "a",
                { href: `#op-${entry.operation.operationId}` },
                badge(entry.method),
                el("span", {}, ...shortPath(entry.path)),
              ),
            ),
          ),
        ),
      ),
    );
    $("operations").append(
      el(
        "section",
        { class: "group", "aria-labelledby": `tag-${tag}` },
        el("h2", { id: `tag-${tag}` }, tag),
        ...entries.map(operationDetails),
      ),
    );
  }
}

/** A path for a narrow column, which may break before a slash. */
const shortPath = (path) =>
  path
    .replace(/^\/api/, "")
    .replace(/\{\w+_id\}/, "{id}")
    .split("/")
    .slice(1)
    .flatMap((part) => [el("wbr"), `/${part}`]);
const words = ({ path, method, operation }) =>
  `${method} ${path} ${operation.operationId} ${operation.summary ?? ""} ${operation.description ?? ""}`.toLowerCase();
const badge = (method) => el("span", { class: `method ${method}` }, method.toUpperCase());

function operationDetails(entry) {
  const { path, method, operation } = entry;
  const details = el(
    "details",
    { class: "operation", id: `op-${operation.operationId}`, "data-words": words(entry) },
    el(
      "summary",
      {},
      badge(method),
      el("span", { class: "path" }, path),
      el("span", { class: "says" }, ...prose(operation.summary ?? "")),
    ),
  );
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(inside(entry));
  });
  return details;
}

function inside(entry) {
  const { operation } = entry;
  const facts = el("div", { class: "facts" });
  const parameters = operation.parameters ?? [];
  for (const [place, title] of [
    ["path", "In the path"],
    ["query", "Query"],
  ]) {
    const these = parameters.filter((parameter) => parameter.in === place);
    if (these.length)
      facts.append(
        el("h4", {}, title),
        el(
          "ul",
          { class: "fields" },
          ...these.map((p) => fieldItem(p.name, p.schema, { mark: p.required ? "required" : "" })),
        ),
      );
  }
  const headers = HEADERS[operation.operationId] ?? [];
  if (headers.length)
    facts.append(
      el("h4", {}, "Headers"),
      el("ul", { class: "fields" }, ...headers.map((name) => fieldItem(name, { type: "string" }))),
    );
  const body = bodySchema(operation);
  if (body) {
    const kinds = kindOf(body);
    facts.append(
      el("h4", {}, "Body: ", el("span", { class: "quiet" }, kinds)),
      ...unique(objectsIn(body)).map((schema) => fieldList(schema, { asked: true })),
    );
  }
  facts.append(el("h4", {}, "Answers"), answers(operation));
  return el(
    "div",
    { class: "inside" },
    operation.description ? el("p", {}, ...prose(operation.description)) : null,
    facts,
    tryIt(entry),
  );
}

const unique = (schemas) =>
  schemas.filter((schema, index) => schemas.findIndex((other) => other.title === schema.title) === index);
const bodySchema = (operation) => operation.requestBody?.content?.["application/json"]?.schema;

function answers(operation) {
  const list = el("ul", { class: "answers" });
  const problems = [];
  for (const [status, answer] of Object.entries(operation.responses).sort()) {
    if (Number(status) >= 400) {
      problems.push(status);
      continue;
    }
    const schema = answer.content?.["application/json"]?.schema;
    const title = [el("span", { class: "status" }, status), " ", answer.description ?? ""];
    const objects = schema ? unique(objectsIn(schema)) : [];
    list.append(
      objects.length
        ? el(
            "li",
            {},
            el(
              "details",
              {},
              el("summary", {}, ...title, " ", el("span", { class: "quiet" }, kindOf(schema))),
              ...objects.map((found) => fieldList(found, { asked: false })),
            ),
          )
        : el("li", {}, ...title),
    );
  }
  if (problems.length) {
    list.append(
      el(
        "li",
        {},
        "Problems: ",
        ...problems.flatMap((status, index) => [
          index ? ", " : "",
          $(`status-${status}`) ? el("a", { href: `#status-${status}` }, status) : status,
        ]),
      ),
    );
  }
  return list;
}

// -- trying -----------------------------------------------------------------------------------------------------------

function credentials() {
  const headers = {};
  if (token.value.trim()) headers.Authorization = `Bearer ${token.value.trim()}`;
  if (secret.value.trim()) headers["X-Agent-Relay-Agent-Secret"] = secret.value.trim();
  return headers;
}

function tryIt(entry) {
  const { method, path, operation } = entry;
  const id = (name) => `${operation.operationId}--${name}`;
  const inputs = el("div", { class: "inputs" });
  const controls = [];
  const add = (name, place, control, required) => {
    control.id = id(`${place}-${name}`);
    control.dataset.name = name;
    controls.push({ name, place, control });
    inputs.append(
      el("label", { for: control.id }, name, required ? el("span", { class: "mark" }, " required") : null),
      control,
    );
  };
  for (const parameter of operation.parameters ?? []) {
    add(parameter.name, parameter.in, parameterControl(parameter), parameter.required);
  }
  for (const name of HEADERS[operation.operationId] ?? [])
    add(name, "header", el("input", { autocomplete: "off", spellcheck: "false" }), false);
  const schema = bodySchema(operation);
  let body = null;
  if (schema) {
    const example = JSON.stringify(EXAMPLES[operation.operationId] ?? exampleOf(schema), null, 2);
    body = el("textarea", {
      id: id("body"),
      spellcheck: "false",
      autocomplete: "off",
      rows: Math.min(14, example.split("\n").length + 1),
    });
    body.value = example;
    inputs.append(el("label", { class: "wide", for: body.id }, "body"), el("div", { class: "wide" }, body));
  }
  const isStream = operation.operationId === "stream_events";
  const send = el("button", { class: "main", type: "submit" }, isStream ? "Watch" : "Send");
  const stop = el("button", { type: "button", disabled: true }, isStream ? "Stop" : "Cancel");
  const result = el("div", {
    class: "result",
    role: "region",
    "aria-label": `Answer to ${method.toUpperCase()} ${path}`,
    hidden: true,
  });
  let running = null;
  stop.addEventListener("click", () => running?.abort());

  const request = () => {
    let url = path;
    const query = new URLSearchParams();
    const headers = credentials();
    for (const { name, place, control } of controls) {
      const value = control.value.trim();
      if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(value));
      else if (value !== "" && place === "query") query.append(name, value);
      else if (value !== "") headers[name] = value;
    }
    if (body?.value.trim()) headers["Content-Type"] = "application/json";
    return {
      url: query.size ? `${url}?${query}` : url,
      method: method.toUpperCase(),
      headers,
      body: body?.value.trim() ? body.value : undefined,
    };
  };

  const form = el(
    "form",
    { class: "try", autocomplete: "off", novalidate: true },
    el("h4", {}, "Try it"),
    inputs,
    el("div", { class: "buttons" }, send, stop),
    result,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const empty = controls.find(({ place, control }) => place === "path" && !control.value.trim());
    if (empty) {
      result.hidden = false;
      result.replaceChildren(el("p", { class: "status bad", role: "status" }, `Fill in ${empty.name}.`));
      empty.control.focus();
      return;
    }
    if (running) return;
    running = new AbortController();
    send.disabled = true;
    stop.disabled = false;
    result.hidden = false;
    try {
      const call = request();
      if (isStream) await watch(call, running.signal, result);
      else await callOnce(call, running.signal, result, operation.responses);
    } finally {
      running = null;
      const stopHadFocus = document.activeElement === stop;
      send.disabled = false;
      stop.disabled = true;
      if (stopHadFocus) send.focus();
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}

function parameterControl({ name, schema, in: place }) {
  const [core] = withoutNull(schema);
  const options = core.enum ?? (core.type === "boolean" ? ["true", "false"] : null);
  if (options)
    return el(
      "select",
      {},
      el("option", { value: "" }, "—"),
      ...options.map((word) => el("option", { value: word }, word)),
    );
  const input = el("input", {
    autocomplete: "off",
    spellcheck: "false",
    inputmode: core.type === "integer" ? "numeric" : undefined,
  });
  if (place === "path") {
    input.value = known[name] ?? "";
    input.dataset.known = name;
  } else if (core.default !== undefined && core.default !== null) {
    input.placeholder = String(core.default);
  }
  return input;
}

async function callOnce(call, signal, result, declared) {
  const status = el("p", { class: "status", role: "status" }, "Waiting for the answer…");
  result.replaceChildren(status, curlLine(call));
  const began = performance.now();
  let answer;
  let text;
  try {
    answer = await fetch(call.url, {
      method: call.method,
      headers: call.headers,
      body: call.body,
      signal,
      cache: "no-store",
    });
    text = await answer.text();
  } catch (error) {
    status.classList.add("bad");
    status.textContent = signal.aborted ? "Cancelled." : `No answer: ${error.message}`;
    return;
  }
  const took = Math.round(performance.now() - began);
  status.classList.add(answer.ok ? "good" : "bad");
  status.textContent = `${answer.status} ${declared[answer.status]?.description ?? answer.statusText} · ${took} ms`;
  result.insertBefore(headersLine(answer), result.lastChild);
  if (text) {
    const parsed = asJson(text);
    if (answer.ok) remember(parsed);
    result.insertBefore(
      el(
        "pre",
        { tabindex: 0, "aria-label": "Body of the answer" },
        parsed === undefined ? text : JSON.stringify(parsed, null, 2),
      ),
      result.lastChild,
    );
  }
}

const asJson = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

function headersLine(answer) {
  const shown = SHOWN_HEADERS.filter((name) => answer.headers.has(name)).map(
    (name) => `${name}: ${answer.headers.get(name)}`,
  );
  return el("p", { class: "heads mono" }, shown.join(" · "));
}

/** Fill what the answer was about into path inputs that nobody has changed. */
function remember(answer) {
  const name = typeof answer?.id === "number" ? "message_id" : "agent_id";
  if (answer?.id === undefined) return;
  const before = known[name];
  known[name] = String(answer.id);
  for (const input of document.querySelectorAll(`input[data-known="${name}"]`)) {
    if (input.value === before) input.value = known[name];
  }
}

/** The same call for a shell; secrets stay out of it. */
function curlLine({ url, method, headers, body }) {
  const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const parts = ["curl", ...(method === "GET" ? [] : ["-X", method])];
  for (const [name, value] of Object.entries(headers)) {
    if (name === "Authorization") parts.push("-H", '"Authorization: Bearer $AGENT_RELAY_TOKEN"');
    else if (name === "X-Agent-Relay-Agent-Secret") parts.push("-H", '"X-Agent-Relay-Agent-Secret: $AGENT_SECRET"');
    else parts.push("-H", quote(`${name}: ${value}`));
  }
  if (body !== undefined) {
    const parsed = asJson(body);
    parts.push("-d", quote(parsed === undefined ? body : JSON.stringify(parsed)));
  }
  if (url.startsWith("/api/events")) parts.splice(1, 0, "-N");
  return el(
    "details",
    {},
    el("summary", {}, "As a curl command"),
    el("pre", { tabindex: 0 }, [...parts, quote(location.origin + url)].join(" ")),
  );
}

// -- watching ---------------------------------------------------------------------------------------------------------

async function watch(call, signal, result) {
  const status = el("p", { class: "status", role: "status" }, "Connecting…");
  const list = el("ol", { class: "stream", tabindex: 0, "aria-label": "Events, newest first" });
  result.replaceChildren(status, curlLine(call));
  let count = 0;
  try {
    const answer = await fetch(call.url, { headers: call.headers, signal, cache: "no-store" });
    if (!answer.ok) {
      const text = await answer.text();
      status.classList.add("bad");
      status.textContent = `${answer.status} ${answer.statusText}`;
      result.insertBefore(el("pre", { tabindex: 0 }, JSON.stringify(asJson(text) ?? text, null, 2)), result.lastChild);
      return;
    }
    status.classList.add("good");
    status.textContent = `${answer.status} ${answer.statusText} · live, waiting for events`;
    result.insertBefore(headersLine(answer), result.lastChild);
    result.insertBefore(list, result.lastChild);
    for await (const block of blocks(answer.body)) {
      const event = parseBlock(block);
      if (event.name) count += 1;
      list.prepend(eventItem(event));
      while (list.childElementCount > KEPT_EVENTS) list.lastElementChild.remove();
      if (event.name) status.textContent = `200 OK · live, ${count} ${count === 1 ? "event" : "events"}`;
    }
    status.classList.replace("good", "bad");
    status.textContent = "The relay ended the stream.";
  } catch (error) {
    status.classList.remove("good");
    status.classList.toggle("bad", !signal.aborted);
    status.textContent = signal.aborted
      ? `Stopped after ${count} ${count === 1 ? "event" : "events"}.`
      : `The stream broke off: ${error.message}`;
  }
}

/** The blocks of a Server-Sent Events stream, as they come. */
async function* blocks(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const pieces = (rest + value).split("\n\n");
    rest = pieces.pop();
    yield* pieces;
  }
}

function parseBlock(block) {
  const event = { id: "", name: "", data: "", comment: "" };
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    const [key, value] = [line.slice(0, at), line.slice(at + 1).trim()];
    if (at === 0) event.comment = value || "still here";
    else if (key === "event") event.name = value;
    else if (key in event) event[key] = value;
  }
  return event;
}

function eventItem(event) {
  if (!event.name) return el("li", { class: "comment" }, `: ${event.comment}`);
  return el("li", {}, el("b", {}, event.name), ` ${event.id} `, el("span", { class: "quiet" }, event.data));
}

// -- finding one's way ------------------------------------------------------------------------------------------------

/** Open and show what the address names. */
function follow() {
  const target = $(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target.scrollIntoView();
  (target.querySelector("summary") ?? target).focus({ preventScroll: true });
}

function filter() {
  const wanted = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const item of document.querySelectorAll("[data-words]")) {
    item.hidden = !wanted.every((word) => item.dataset.words.includes(word));
    if (!item.hidden && item instanceof HTMLDetailsElement) left += 1;
  }
  for (const group of document.querySelectorAll(".group"))
    group.hidden = !group.querySelector("[data-words]:not([hidden])");
  if (api) tell($("notice"), left || !wanted.length ? "" : "No operation has these words.");
}

$("identity").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
$("filter").addEventListener("input", filter);
window.addEventListener("hashchange", follow);
load();
