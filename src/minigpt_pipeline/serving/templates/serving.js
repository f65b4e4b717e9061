const find = (selector, within = document) => within.querySelector(selector);
const form = find("#request");
const prompt = find("#prompt");
const button = find("#go");
const settings = [...form.elements].filter((element) => element.closest("#settings") && element.name && element.name !== "preset");
const NEW_SEEDS = 1_000_000;
const ASK_AGAIN = 3_000; // milliseconds, where no model is there

let model = null; // the answer of v1/model
let writing = null; // what ends the text that is being written
let counting = null; // the timer of a refusal that says when to try again
let asking = null; // the timer of the next question whether a model is there

// ---- What the server serves ----

async function askForModel() {
  try {
    const response = await fetch("v1/model", { cache: "no-store", headers: identify() });
    if (!response.ok) throw await readError(response);
    showKeyForm(false);
    const isFirst = model === null;
    model = await response.json();
    model.defaults.stop_at_end_of_review = model.has_learnt_ends && (model.defaults.stop_at_end_of_review ?? true);
    describeModel("ready", `${model.model} version ${model.model_version}`);
    applyModel(isFirst);
  } catch (error) {
    if (error.code === "unauthorized") return askForKey();
    describeModel("absent", error instanceof Refusal ? error.message : "The server does not answer.");
    clearTimeout(asking);
    asking = setTimeout(askForModel, ASK_AGAIN);
  }
}

function describeModel(state, words) {
  const place = find("#model");
  place.dataset.state = state;
  place.textContent = words;
  if (model && state === "ready") {
    place.title = `${format(model.vocabulary_size)} tokens are known, the newest ${format(model.context)} are read`;
  }
}

function applyModel(isFirst) {
  prompt.dataset.most = model.limits.max_prompt_characters;
  form.elements.max_new_tokens.max = model.limits.max_new_tokens;
  form.elements.num_texts.max = Math.min(form.elements.num_texts.max, model.limits.max_prompts);
  find("#max_new_tokens-help").textContent = `tokens, at most ${format(model.limits.max_new_tokens)}`;
  if (isFirst) {
    writeSettings({ ...model.defaults, ...recall().settings });
    showPresets();
    clearErrors();
  }
  const ends = form.elements.stop_at_end_of_review;
  ends.disabled = !model.has_learnt_ends;
  ends.checked &&= model.has_learnt_ends;
  find("#stop_at_end_of_review-help").textContent = `this model has ${ends.disabled ? "not " : ""}learnt where reviews end`;
  showChoice();
}

// ---- Who asks ----

/** The key is in this tab's memory of its session alone; a browser that forbids that asks again behind a reload. */
let key = readKey();

function readKey() {
  try {
    return sessionStorage.getItem("minigpt-key") ?? "";
  } catch {
    return "";
  }
}

function identify() {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

function askForKey() {
  describeModel("absent", "This server wants a key.");
  find("#key-error").textContent = key ? "The server does not know this key." : "";
  const field = find("#key");
  if (key) field.setAttribute("aria-invalid", "true");
  const isNew = find("#key-form").hidden;
  showKeyForm(true);
  if (isNew || key) field.focus();
}

function showKeyForm(isShown) {
  find("#key-form").hidden = !isShown;
}

function takeKey(event) {
  event.preventDefault();
  const field = find("#key");
  key = field.value.trim();
  field.value = "";
  field.removeAttribute("aria-invalid");
  find("#key-error").textContent = "";
  try {
    sessionStorage.setItem("minigpt-key", key);
  } catch {}
  askForModel();
}

// ---- Settings ----

function readSettings() {
  return Object.fromEntries(settings.map((element) => [element.name, readSetting(element)]));
}

function readSetting(element) {
  if (element.type === "checkbox") return element.checked;
  return element.value === "" ? null : Number(element.value);
}

function writeSettings(values) {
  for (const element of settings) {
    const value = values[element.name];
    if (value === undefined) continue;
    if (element.type === "checkbox") element.checked = value;
    else element.value = value ?? "";
  }
}

function presetSettings(name) {
  const { max_new_tokens, seed, ...sampling } = model.defaults; // a preset is neither a length nor a seed
  return { ...sampling, ...model.presets[name] };
}

function showPresets() {
  for (const name of Object.keys(model.presets ?? {})) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "preset", value: name });
    label.append(input, name);
    find("#presets").append(label);
  }
}

/** Show which preset the settings are, and what matters of them where they are folded away. */
function showChoice() {
  const now = readSettings();
  for (const input of form.querySelectorAll("[name=preset]")) {
    const wanted = Object.entries(presetSettings(input.value));
    input.checked = wanted.every(([name, value]) => !(name in now) || now[name] === value);
  }
  const preset = find("[name=preset]:checked")?.value ?? "own";
  find("#summary").textContent = model ? `${preset}, ${now.max_new_tokens ?? "no"} tokens, seed ${now.seed ?? "missing"}` : "";
}

function chooseNewSeed() {
  form.elements.seed.value = Math.floor(Math.random() * NEW_SEEDS);
  showChoice();
  remember();
}

// A reload keeps what was typed; a browser that forbids to keep anything is no reason to fail.
function remember() {
  try {
    const kept = model ? readSettings() : recall().settings; // without a model, fields are still empty
    sessionStorage.setItem("minigpt", JSON.stringify({ prompt: prompt.value, settings: kept }));
  } catch {}
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem("minigpt")) ?? {};
  } catch {
    return {};
  }
}

// ---- Errors, each where it belongs ----

class Refusal extends Error {
  constructor({ code, message, fields = [] }, waitSeconds = NaN) {
    super(message);
    Object.assign(this, { code, fields, waitSeconds });
  }
}

async function readError(response) {
  const said = await response.json().catch(() => ({}));
  const error = said.error ?? { message: `The server answered ${response.status} ${response.statusText}.` };
  return new Refusal(error, response.status === 429 ? Number(response.headers.get("Retry-After") ?? NaN) : NaN);
}

function clearErrors() {
  clearInterval(counting);
  find("#trouble").replaceChildren();
  for (const element of [prompt, ...settings]) markField(element, "");
}

function markField(element, message) {
  find(`#${element.name}-error`).textContent = message;
  if (message) element.setAttribute("aria-invalid", "true");
  else element.removeAttribute("aria-invalid");
}

function showFieldError(element, message) {
  markField(element, message);
  for (let place = element.closest("details"); place; place = place.parentElement.closest("details")) place.open = true;
  element.focus();
  announce(message);
}

/** Say what is wrong with a field, or nothing. */
function findMistake(element) {
  const { value, min, max, validity, dataset } = element;
  if (element === prompt) {
    const length = [...value].length;
    if (!value.trim()) return "Type a word to start from.";
    return length > Number(dataset.most) ? `${format(length)} characters: ${format(dataset.most)} at most.` : "";
  }
  if (validity.badInput) return "This is no number.";
  if (validity.valueMissing) return "A number is needed.";
  if (value === "" || element.type === "checkbox") return "";
  const number = Number(value);
  if (element.inputMode === "numeric" && !Number.isInteger(number)) return "A whole number is needed.";
  if (dataset.above !== undefined && number <= Number(dataset.above)) return `More than ${format(dataset.above)} is needed.`;
  if (min !== "" && number < Number(min)) return `${format(min)} at least.`;
  return max !== "" && number > Number(max) ? `${format(max)} at most.` : "";
}

/** Show what the server refuses beside the field that it is about, or below the button. */
function showRefusal(error) {
  if (error.code === "unauthorized") return askForKey();
  const { code, fields, message, waitSeconds } = error;
  const ofField = { prompt_too_long: "prompt", too_many_tokens: "max_new_tokens" };
  const named = fields.map(({ field, message }) => [form.elements[field.split(".")[0]], message]).filter(([element]) => element);
  if (named.length) named.reverse().forEach(([element, message]) => showFieldError(element, message));
  else if (code === "unknown_words") showFieldError(prompt, "The model knows none of these words: begin with others.");
  else if (ofField[code]) showFieldError(form.elements[ofField[code]], message);
  else showTrouble(message, waitSeconds);
}

function showTrouble(message, waitSeconds = NaN) {
  const said = document.createElement("p");
  said.textContent = message;
  find("#trouble").replaceChildren(said);
  if (Number.isNaN(waitSeconds)) return;
  const rest = document.createElement("p");
  rest.setAttribute("aria-live", "off"); // each second would be read out
  find("#trouble").append(rest);
  const end = performance.now() + 1000 * waitSeconds;
  const count = () => {
    const seconds = Math.ceil((end - performance.now()) / 1000);
    rest.textContent = seconds > 0 ? `Try again in ${seconds} s.` : "Try again now.";
    if (seconds <= 0) clearInterval(counting);
  };
  counting = setInterval(count, 250);
  count();
}

function announce(words) {
  find("#status").textContent = words;
}

// ---- A text ----

class Text {
  constructor(prompt, seed, { model: name, model_version: version, parameters }, sentAt) {
    Object.assign(this, { prompt, seed, name, version, parameters, sentAt, tokens: null, firstAt: null, hasEnded: false });
    this.readable = prompt.trim().split(/\s+/).join(" ");
    this.given = this.readable;
    this.element = find("#text").content.firstElementChild.cloneNode(true);
    this.element.text = this;
    this.element.setAttribute("aria-busy", "true");
    this.show();
    this.showFacts({});
  }

  grow({ readable_text, new_tokens }) {
    this.firstAt ??= performance.now();
    this.readable = readable_text;
    this.tokens = new_tokens ?? null;
    this.frame ??= requestAnimationFrame(() => this.show());
  }

  show() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const { readable, given } = this;
    const length = readable.toLowerCase().startsWith(given.toLowerCase()) ? given.length : 0; // signs may stand otherwise
    find(".given", this.element).textContent = readable.slice(0, length);
    find(".new", this.element).textContent = readable.slice(length);
  }

  end(reason) {
    const seconds = (performance.now() - this.sentAt) / 1000;
    this.hasEnded = true;
    this.show();
    this.element.setAttribute("aria-busy", "false");
    const { tokens } = this;
    this.showFacts({
      Length: tokens === null ? null : `${format(tokens)} tokens`,
      End: reason,
      Speed: tokens === null ? null : `${format(Math.round(tokens / seconds))} tokens/s`,
      "First token": this.firstAt === null ? null : `${format(Math.round(this.firstAt - this.sentAt))} ms`,
    });
  }

  finish({ readable_text, new_tokens, finish_reason }) {
    this.readable = readable_text;
    this.tokens = new_tokens;
    this.end(finish_reason === "end" ? "of the review" : "at its length");
  }

  breakOff(message) {
    this.end("broken off");
    find(".broken", this.element).textContent = message;
  }

  showFacts(facts) {
    const rows = Object.entries({ "Written by": `${this.name} version ${this.version}`, Seed: this.seed, ...facts });
    find(".facts", this.element).replaceChildren(
      ...rows.filter(([, value]) => value !== null).map(([word, value]) => {
        const row = document.createElement("div");
        row.append(document.createElement("dt"), document.createElement("dd"));
        row.firstChild.textContent = word;
        row.lastChild.textContent = value;
        return row;
      }),
    );
  }

  /** The request that writes this text again, as long as its version is served. */
  toCurl() {
    const max_new_tokens = this.tokens || this.parameters.max_new_tokens; // no more where it was stopped
    const body = JSON.stringify({ prompt: this.prompt, ...this.parameters, max_new_tokens, seed: this.seed });
    const address = new URL("v1/generate", location.href);
    const who = key ? ' -H "Authorization: Bearer $MINIGPT_SERVING_KEY"' : ""; // the shell knows it, the clipboard does not
    return `curl ${address}${who} -H 'Content-Type: application/json' -d '${body.replaceAll("'", "'\\''")}'`;
  }
}

function showTexts(texts) {
  const former = document.querySelectorAll("#current .text");
  find("#earlier").hidden &&= former.length === 0;
  find("#earlier-texts").prepend(...former);
  find("#current").replaceChildren(...texts.map((text) => text.element));
}

// ---- Writing ----

async function generate() {
  if (writing) return;
  clearErrors();
  if (!model) {
    showTrouble(`${find("#model").textContent} Your prompt is kept.`);
    return askForModel();
  }
  const wrong = [prompt, ...settings].find((element) => findMistake(element));
  if (wrong) return showFieldError(wrong, findMistake(wrong));
  remember();
  writing = new AbortController();
  showWriting(true);
  const texts = [];
  try {
    await write(texts, writing.signal);
  } catch (error) {
    const isStopped = writing.signal.aborted;
    const message = error instanceof Refusal ? error.message : "The server does not answer.";
    for (const text of texts.filter((text) => !text.hasEnded)) {
      if (isStopped) text.end("stopped");
      else text.breakOff(`${message} What had come is kept.`);
    }
    if (isStopped) announce("Stopped.");
    else if (!texts.length && error instanceof Refusal) showRefusal(error);
    else if (!texts.length) showTrouble(`${message} Your prompt is kept: try again when it runs.`);
    if (!isStopped) askForModel();
  } finally {
    writing = null;
    showWriting(false);
  }
  if (texts.length && texts[0].version !== model?.model_version) askForModel();
}

/** Ask for texts and show them while they come; the list has them from where the server has begun them. */
async function write(texts, signal) {
  const { num_texts, seed, ...sampling } = readSettings();
  const seeds = Array.from({ length: num_texts }, (_, index) => seed + index);
  const given = prompt.value;
  const sentAt = performance.now();
  const response = await fetch("v1/generate", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream", ...identify() },
    body: JSON.stringify({ prompt: given, ...sampling, seed: seeds, stream: true }),
    signal,
  });
  if (!response.ok) throw await readError(response);
  for await (const [event, data] of readEvents(response.body)) {
    if (event === "start") {
      texts.push(...seeds.map((seed) => new Text(given, seed, data, sentAt)));
      showTexts(texts);
    } else if (event === "token") texts[data.index].grow(data);
    else if (event === "error") throw new Refusal(data.error);
    else if (event === "done") {
      for (const ended of data.texts) texts[ended.index].finish(ended);
      announce(`Written: ${texts.map((text) => text.readable).join(" ")}`);
      return;
    }
  }
  throw new Refusal({ message: "The server ended the connection too early." });
}

function showWriting(isWriting) {
  document.body.classList.toggle("writing", isWriting);
  button.textContent = isWriting ? "Stop" : "Generate";
  if (isWriting) announce("Writing.");
}

/** Yield each server-sent event as its name and its data. */
async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const read = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim());
      const data = read("data").join("\n");
      if (data) yield [read("event")[0] ?? "message", JSON.parse(data)];
    }
  }
}

// ---- What one does with a text ----

const ACTIONS = {
  copy: (text, pressed) => copy(text.readable, pressed),
  curl: (text, pressed) => copy(text.toCurl(), pressed),
  another: (text) => {
    reuse(text);
    chooseNewSeed();
    generate();
  },
  reuse: (text) => {
    reuse(text);
    prompt.focus();
    announce("Prompt and settings are those of the text.");
  },
};

function reuse(text) {
  prompt.value = text.prompt;
  writeSettings({ ...text.parameters, seed: text.seed });
  showPrompt();
  showChoice();
  remember();
}

async function copy(words, pressed) {
  const label = (pressed.dataset.label ??= pressed.textContent);
  const done = await navigator.clipboard?.writeText(words).then(() => true, () => false) ?? copyOfSelection(words);
  pressed.textContent = done ? "Copied" : "Not copied";
  announce(pressed.textContent);
  setTimeout(() => (pressed.textContent = label), 1500);
}

/** Copy where the browser has no clipboard for pages, as over plain HTTP from another machine. */
function copyOfSelection(words) {
  const field = document.createElement("textarea");
  field.value = words;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

function showPrompt() {
  const length = [...prompt.value].length;
  const most = Number(prompt.dataset.most);
  find("#prompt-count").textContent = length > 0.8 * most ? `${format(length)} of ${format(most)} characters` : "";
}

function format(number) {
  return Number(number).toLocaleString("en");
}

// ---- Keys and buttons ----

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (writing) writing.abort();
  else generate();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") writing?.abort();
  if (event.key !== "Enter" || event.isComposing || event.shiftKey) return;
  const isField = event.target.matches("#request input, #request textarea");
  if (!isField && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault(); // no line break in the prompt, and no Stop by a second Enter in a field
  generate();
});

form.addEventListener("input", (event) => {
  if (event.target.name === "preset") writeSettings(presetSettings(event.target.value));
  else markField(event.target, "");
  showPrompt();
  showChoice();
  remember();
});

find("#key-form").addEventListener("submit", takeKey);

document.addEventListener("visibilitychange", () => document.hidden || askForModel()); // there may be a new version

find("#new-seed").addEventListener("click", chooseNewSeed);

find("main").addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-action]");
  if (pressed) ACTIONS[pressed.dataset.action](pressed.closest(".text").text, pressed);
});

find("#settings").open = matchMedia("(min-width: 56.01rem)").matches;
prompt.value = recall().prompt ?? prompt.value;
writeSettings(recall().settings ?? {});
showPrompt();
showChoice();
askForModel();
