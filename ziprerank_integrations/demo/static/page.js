"use strict";

// How many pages of each order are shown at first.
const SHOWN = 10;
const ALIVE_MS = 60_000;
const SUGGESTIONS = [
  "What was the revenue in 2023?",
  "What does the roof cost?",
  "When do we move the books?",
  "Who repairs the pump of the boiler?",
];
const UNREACHABLE = "The server is not reachable. Is `ziprerank show` still running? Start it again, then repeat this.";
const STAGES = { text: "Reading the text of the pages", encode: "Encoding pages", select: "Selecting pages with the first model", rank: "Ranking pages" };

const $ = (id) => document.getElementById(id);

const state = {
  session: null, // the id of this tab's files on the server
  limits: null,
  files: [],
  examples: [], // the names of the example files
  sources: new Map(), // by file id: the File of an upload, to add it again after a restart of the server
  pages: new Map(), // by page id: {id, number, name}
  first: [], // the order of the first stage: {page, score}
  answer: null, // the last result
  ranks: new Map(), // by page id: its rank in the first stage
  all: false,
  keepIsSet: false, // whether the user has set the keep ratio
  viewed: null, // the page in the dialog
};
const thumbnails = new Map(); // by page id: a promise of a blob URL

class Problem extends Error {
  constructor(message, code = "") {
    super(message);
    this.code = code;
  }
}

// Requests

async function request(method, path, options = {}) {
  let response;
  try {
    response = await fetch(path, { method, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE, "unreachable");
  }
  if (response.ok) return response;
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // not JSON
  }
  throw new Problem(error.message ?? `The server responded with status ${response.status}.`, error.code);
}

const inSession = (path) => `/show/${state.session}/${path}`;

async function openSession() {
  const opened = await (await request("POST", "/show/sessions")).json();
  state.session = opened.session;
  state.limits = opened.limits;
  state.examples = opened.examples;
  setFiles(opened.files);
  return opened;
}

// Run work again with a new session if the server does not know this one any more.
async function withSession(work) {
  if (state.session === null) await start();
  try {
    return await work();
  } catch (error) {
    if (error.code !== "unknown_session") throw error;
  }
  const examples = state.files.some((file) => !state.sources.has(file.id));
  const uploads = [...state.sources.values()];
  state.sources.clear();
  clearResults();
  await openSession();
  if (examples && state.files.length === 0) await addExamples();
  for (const file of uploads) await upload(file);
  return await work();
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(UNREACHABLE, "unreachable");
    }
    if (part.done) return;
    text += part.value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      yield { name: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

// Problems and status

function showProblem(error) {
  const message = error instanceof Problem ? error.message : `Unexpected error: ${error.message ?? error}`;
  const list = $("problems");
  for (const item of [...list.children]) if (item.dataset.message === message) item.remove();
  while (list.children.length >= 5) list.firstChild.remove();
  const item = element("div", { className: "problem" }, element("span", {}, message));
  item.dataset.message = message;
  const button = element("button", { type: "button", ariaLabel: "Dismiss" }, "×");
  button.addEventListener("click", () => item.remove());
  item.append(button);
  list.append(item);
}

function element(name, properties = {}, ...children) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

const setStatus = (text) => { $("status").textContent = text; };

const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

// Files

// The server escapes control characters in names too; an override of the direction would turn the line around.
const nameOf = (file) => file.name.replace(/\p{C}/gu, "\ufffd");

function setFiles(files) {
  state.files = files;
  state.pages.clear();
  for (const file of files) for (const page of file.pages) state.pages.set(page.id, { ...page, name: file.name });
  const items = files.map((file) => {
    const remove = element("button", { type: "button", ariaLabel: `Remove ${file.name}` }, "×");
    remove.addEventListener("click", () => act(() => removeFile(file)));
    const name = element("span", { className: "name", title: file.name }, file.name);
    return element("li", {}, name, element("span", { className: "count" }, plural(file.pages.length, "page")), remove);
  });
  $("files").replaceChildren(...items);
  const names = new Set(files.map(({ name }) => name));
  $("examples").hidden = state.examples.every((name) => names.has(name));
}

async function upload(file) {
  if (file.size > state.limits.file_bytes) {
    const most = Math.floor(state.limits.file_bytes / 2 ** 20);
    throw new Problem(`${nameOf(file)}: the file is larger than ${most} MiB, the most that the server accepts.`);
  }
  let data;
  try {
    data = await file.arrayBuffer();
  } catch {
    throw new Problem(`${nameOf(file)}: the file cannot be read. Is it a folder?`);
  }
  const headers = { "Content-Type": "application/octet-stream" };
  const path = inSession(`files?name=${encodeURIComponent(file.name.slice(-300))}`);
  const added = await (await request("POST", path, { body: data, headers })).json();
  state.sources.set(added.id, file);
  setFiles([...state.files, added]);
}

async function addFiles(files) {
  let added = 0;
  for (const [index, file] of files.entries()) {
    setStatus(`Adding ${nameOf(file)} (${index + 1} of ${files.length})`);
    try {
      await withSession(() => upload(file));
      added += 1;
    } catch (error) {
      showProblem(error);
    }
  }
  setStatus(state.files.length ? `${plural(state.pages.size, "page")} in ${plural(state.files.length, "file")}.` : "");
  if (added) await run();
}

async function addExamples() {
  setFiles((await (await request("POST", inSession("examples"))).json()).files);
}

async function removeFile(file) {
  await request("DELETE", inSession(`files/${file.id}`)).catch((error) => {
    if (error.code !== "not_found" && error.code !== "unknown_session") throw error;
  });
  state.sources.delete(file.id);
  for (const page of file.pages) {
    thumbnails.get(page.id)?.then(URL.revokeObjectURL, () => {});
    thumbnails.delete(page.id);
  }
  setFiles(state.files.filter((other) => other !== file));
  clearResults();
  if (state.files.length) await run();
  else setStatus("");
}

// Questions

let running = null; // the AbortController of the work that runs

function chosenScorer() {
  return document.querySelector('input[name="scorer"]:checked').value;
}

// Encode the pages and, if there is a question, rank them.
async function run() {
  running?.abort();
  const controller = (running = new AbortController());
  const query = $("query").value.trim();
  $("query-problem").textContent = "";
  const timer = setTimeout(() => { $("work").hidden = controller !== running; }, 250);
  progress({ stage: "text", done: 0, total: 0 });
  try {
    await withSession(() => ask(query || null, controller));
  } catch (error) {
    if (controller !== running) return; // another question has replaced this one
    if (error.name === "AbortError") setStatus("Cancelled.");
    else if (error.code === "invalid_query") $("query-problem").textContent = capital(error.message);
    else showProblem(error);
  } finally {
    clearTimeout(timer);
    if (controller === running) {
      running = null;
      $("work").hidden = true;
    }
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");

async function ask(query, controller) {
  const body = JSON.stringify({
    query,
    scorer: chosenScorer(),
    keep_ratio: Number($("keep").value),
    retriever_weight: Number($("weight").value),
  });
  const headers = { "Content-Type": "application/json" };
  const response = await request("POST", inSession("ask"), { body, headers, signal: controller.signal });
  let ended = false;
  for await (const { name, data } of events(response)) {
    if (controller !== running) return;
    if (name === "progress") progress(data);
    else if (name === "first") showFirst(data.pages);
    else if (name === "result") showResult(data, query);
    else if (name === "error") throw new Problem(data.message, data.code);
    else if (name === "cancelled") setStatus("Cancelled.");
    ended = name !== "progress" && name !== "first";
  }
  if (!ended) throw new Problem(UNREACHABLE, "unreachable");
}

function progress({ stage, done, total }) {
  const counts = total > 0 && (stage === "text" || stage === "encode");
  const counted = counts ? `: ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
  $("work-label").textContent = STAGES[stage] + counted;
  if (counts) $("progress").value = done / total;
  else $("progress").removeAttribute("value");
}

// Results

function clearResults() {
  state.first = [];
  state.answer = null;
  state.ranks.clear();
  $("results").hidden = true;
  $("code").hidden = true;
}

function showFirst(pages) {
  state.first = pages;
  state.ranks = new Map(pages.map(({ page }, index) => [page, index + 1]));
}

function showResult(result, query) {
  const seconds = `${(result.cost.total_ms / 1000).toFixed(result.cost.total_ms < 10_000 ? 2 : 0)} s`;
  if (query === null) {
    setStatus(`${plural(result.cost.pages, "page")} ready after ${seconds}. Ask a question.`);
    return;
  }
  state.answer = result;
  const best = state.pages.get(result.results[0].page);
  setStatus(`${plural(result.results.length, "page")} ranked in ${seconds}. Best: ${title(best)}.`);
  if (Number($("weight").value) && !result.retriever_weight) {
    $("status").textContent += " No page has text, so the retriever weight has no effect.";
  }
  showCost(result.cost);
  $("model").textContent = `${result.model}, scores are ${result.scale}`;
  $("results").hidden = false;
  render();
  showCode();
}

const title = (page) => (page.number === null ? page.name : `${page.name}, page ${page.number}`);

function showCost(cost) {
  const pruned = cost.tokens_after < cost.tokens_before ? ` of ${cost.tokens_before.toLocaleString("en")}` : "";
  const rows = [
    ["Tokens", cost.tokens_after.toLocaleString("en") + pruned],
    ["Pages from the cache", `${cost.cached} of ${cost.to_encode}${cost.to_encode > cost.pages ? " (both models)" : ""}`],
    ["Forward passes", String(cost.windows)],
    ...Object.entries(cost.ms).map(([stage, ms]) => [capitalized(stage), `${duration(ms)}`]),
    ["Total", duration(cost.total_ms)],
  ];
  $("cost").replaceChildren(...rows.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const duration = (ms) => `${ms >= 100 ? Math.round(ms).toLocaleString("en") : ms.toFixed(1)} ms`;
const scoreText = (score) => (score >= 0.0005 || score === 0 ? score.toFixed(3) : score.toExponential(0));

function render() {
  const results = state.answer.results;
  const count = state.all ? results.length : Math.min(SHOWN, results.length);
  const highest = Math.max(...state.first.map(({ score }) => score ?? 0)) || 1;
  $("first").replaceChildren(...state.first.slice(0, count).map(({ page, score }, index) =>
    card(page, index + 1, {
      score: score === null ? "No text: the first stage cannot see this page" : score === 0 ? "No word of the question" : `BM25 ${score.toFixed(2)}`,
      strength: (score ?? 0) / highest,
    })));
  const best = results[0].score || 1;
  $("reranked").replaceChildren(...results.slice(0, count).map((item) => {
    const kept = item.kept === null ? "" : ` · ${item.kept[0].toLocaleString("en")} of ${item.kept[1].toLocaleString("en")} tokens kept`;
    return card(item.page, item.rank, {
      score: item.error ?? `Score ${scoreText(item.score)}${kept}`,
      problem: item.error !== null,
      strength: item.error === null ? item.score / best : 0,
      moved: (state.ranks.get(item.page) ?? item.rank) - item.rank,
    });
  }));
  $("more").hidden = results.length <= SHOWN;
  $("more").textContent = state.all ? `Show the best ${SHOWN} only` : `Show all ${results.length} pages`;
  drawLines();
}

function card(id, rank, { score, strength, moved, problem = false }) {
  const page = state.pages.get(id) ?? { id, name: "removed file", number: null };
  const image = element("button", { type: "button", className: "thumb", ariaLabel: `Enlarge ${title(page)}` });
  const head = element("div", { className: "head" }, element("span", { className: "rank" }, String(rank)));
  if (moved !== undefined) {
    const text = moved > 0 ? `↑ ${moved}, was ${rank + moved}` : moved < 0 ? `↓ ${-moved}, was ${rank + moved}` : "same rank";
    head.append(element("span", { className: moved > 0 ? "move up" : "move" }, text));
  }
  const bar = element("i");
  bar.style.width = `${Math.max(1, Math.round(100 * Math.min(1, strength)))}%`;
  const text = element("div", { className: "text" },
    head,
    element("span", { className: "name", title: page.name }, page.name),
    element("span", { className: "number" }, page.number === null ? "image" : `page ${page.number}`),
    element("span", { className: problem ? "score problem-text" : "score", title: score }, score),
    element("div", { className: "strength" }, bar));
  const item = element("li", { className: "card" }, image, text);
  item.dataset.page = id;
  item.addEventListener("click", () => view(id));
  for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]]) {
    item.addEventListener(event, () => highlight(id, on));
  }
  visible.observe(image);
  return item;
}

// Thumbnails are requested when their cards come into view, each once.
const visible = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    visible.unobserve(target);
    fillThumbnail(target, Number(target.closest(".card").dataset.page));
  }
}, { rootMargin: "400px" });

async function fillThumbnail(button, id) {
  if (!thumbnails.has(id)) thumbnails.set(id, picture(id, "small"));
  try {
    button.replaceChildren(element("img", { src: await thumbnails.get(id), alt: "" }));
  } catch (error) {
    thumbnails.delete(id);
    button.textContent = "no picture";
    button.title = error.message;
  }
}

async function picture(id, size) {
  const response = await request("GET", inSession(`pages/${id}/${size}.jpg`));
  return URL.createObjectURL(await response.blob());
}

function highlight(id, on) {
  for (const marked of document.querySelectorAll(`.card[data-page="${id}"], #lines path[data-page="${id}"]`)) {
    marked.classList.toggle("on", on);
  }
}

function drawLines() {
  const svg = $("lines");
  const box = svg.getBoundingClientRect();
  if (!box.width) return;
  const middles = (list) => new Map([...list.children].map((item) => {
    const rect = item.getBoundingClientRect();
    return [Number(item.dataset.page), rect.top + rect.height / 2 - box.top];
  }));
  const left = middles($("first"));
  const right = middles($("reranked"));
  const end = Math.max(...left.values(), ...right.values()) + 90;
  const paths = [...new Set([...left.keys(), ...right.keys()])].map((id) => {
    const [from, to] = [left.get(id) ?? end, right.get(id) ?? end];
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const half = box.width / 2;
    path.setAttribute("d", `M 0 ${from} C ${half} ${from}, ${half} ${to}, ${box.width} ${to}`);
    path.dataset.page = id;
    if (to < from) path.classList.add("up");
    return path;
  });
  // Those that moved up are on top.
  paths.sort((a, b) => a.classList.contains("up") - b.classList.contains("up"));
  svg.replaceChildren(...paths);
}

// One page with its evidence

const layer = () => document.querySelector('input[name="layer"]:checked').value;

async function view(id) {
  state.viewed = id;
  const page = state.pages.get(id);
  const item = state.answer?.results.find((result) => result.page === id);
  if (page === undefined || item === undefined) return;
  const [none, kept, similarity] = document.querySelectorAll('input[name="layer"]');
  const scorer = scorers.find(({ name }) => name === state.answer.scorer);
  kept.disabled = item.kept === null;
  similarity.disabled = !scorer?.similarity || item.error !== null;
  if (document.querySelector('input[name="layer"]:checked')?.disabled ?? true) {
    (kept.disabled ? none : kept).checked = true;
  }
  $("viewer-title").textContent = title(page);
  const tokens = item.kept === null ? "all visual tokens kept" : `${item.kept[0]} of ${item.kept[1]} visual tokens kept`;
  $("viewer-note").textContent =
    `Rank ${item.rank}, in the first stage ${state.ranks.get(id)}. ` +
    (item.error ?? `Score ${scoreText(item.score)}, ${tokens}.`);
  $("viewer-problem").textContent = "";
  $("page").removeAttribute("src");
  $("page").alt = "";
  $("layer").hidden = true;
  if (!$("viewer").open) $("viewer").showModal();
  try {
    const url = await picture(id, "large");
    if (state.viewed !== id) return URL.revokeObjectURL(url);
    $("page").onload = () => URL.revokeObjectURL(url);
    $("page").src = url;
    $("page").alt = title(page);
  } catch (error) {
    if (state.viewed === id) $("viewer-problem").textContent = capital(error.message);
    return;
  }
  await showLayer();
}

async function showLayer() {
  const id = state.viewed;
  const chosen = layer();
  const image = $("layer");
  $("opacity").disabled = chosen === "none";
  image.hidden = true;
  $("viewer-problem").textContent = "";
  if (chosen === "none") return;
  try {
    const response = await request("GET", inSession(`answers/${state.answer.answer}/${id}/${chosen}.png`));
    const url = URL.createObjectURL(await response.blob());
    if (state.viewed !== id || layer() !== chosen) return URL.revokeObjectURL(url);
    image.onload = () => URL.revokeObjectURL(url);
    image.src = url;
    image.className = chosen;
    image.hidden = false;
    setOpacity();
  } catch (error) {
    if (state.viewed === id) $("viewer-problem").textContent = capital(error.message);
  }
}

function setOpacity() {
  $("layer").style.opacity = $("opacity").value / 100;
  $("opacity-value").textContent = `${$("opacity").value} %`;
}

function step(by) {
  const order = state.answer.results.map(({ page }) => page);
  const next = order[order.indexOf(state.viewed) + by];
  if (next !== undefined) act(() => view(next));
}

// Code

async function showCode() {
  const { answer } = state.answer;
  const { snippets } = await (await request("GET", inSession(`answers/${answer}/code`))).json();
  if (state.answer?.answer !== answer) return;
  const before = document.querySelector('input[name="language"]:checked')?.value;
  const names = Object.keys(snippets);
  $("languages").replaceChildren(...names.map((name) => segment("language", name, name)));
  const chosen = names.includes(before) ? before : names[0];
  for (const input of document.querySelectorAll('input[name="language"]')) {
    input.checked = input.value === chosen;
    input.addEventListener("change", () => { $("snippet").textContent = snippets[input.value]; });
  }
  $("snippet").textContent = snippets[chosen];
  $("code").hidden = false;
}

function segment(group, value, text) {
  return element("label", {}, element("input", { type: "radio", name: group, value }), element("span", {}, text));
}

async function copyCode() {
  try {
    await navigator.clipboard.writeText($("snippet").textContent);
    setStatus("Copied.");
    $("copy").textContent = "Copied";
    setTimeout(() => { $("copy").textContent = "Copy"; }, 2000);
  } catch {
    getSelection().selectAllChildren($("snippet"));
    $("snippet").focus();
    setStatus("The browser does not allow copying; the code is selected, press Ctrl+C.");
  }
}

// Start

let scorers = [];

async function start() {
  const opened = await openSession();
  if (scorers.length === 0) {
    scorers = opened.scorers;
    $("scorers").replaceChildren(...scorers.map(({ name, model }) => {
      const label = segment("scorer", name, name);
      label.title = model;
      label.firstChild.addEventListener("change", () => {
        proposeKeepRatio();
        if (state.files.length) act(run);
      });
      return label;
    }));
    $("scorers").querySelector("input").checked = true;
    $("keep").value = opened.controls.keep_ratio;
    $("weight").value = opened.controls.retriever_weight;
    proposeKeepRatio();
  }
  $("examples").textContent = `Use the ${opened.examples.length} example files`;
  if (state.files.length) await run();
}

// Set the keep ratio of the scorer, until the user sets another.
function proposeKeepRatio() {
  const own = scorers.find(({ name }) => name === chosenScorer()).keep_ratio;
  if (own !== null && !state.keepIsSet) $("keep").value = own;
  showControls();
}

function showControls() {
  for (const name of ["keep", "weight"]) $(`${name}-value`).textContent = `${Math.round($(name).value * 100)} %`;
}

// Run work of an event, and show its error.
async function act(work) {
  try {
    await work();
  } catch (error) {
    if (error.name !== "AbortError") showProblem(error);
  }
}

function connect() {
  $("choose").addEventListener("click", () => $("input").click());
  $("input").addEventListener("change", () => {
    const files = [...$("input").files];
    $("input").value = "";
    act(() => addFiles(files));
  });
  for (const event of ["dragenter", "dragover"]) {
    addEventListener(event, (dragged) => {
      dragged.preventDefault();
      $("drop").classList.add("over");
    });
  }
  addEventListener("dragleave", (dragged) => {
    if (dragged.relatedTarget === null) $("drop").classList.remove("over");
  });
  addEventListener("drop", (dropped) => {
    dropped.preventDefault();
    $("drop").classList.remove("over");
    const files = [...(dropped.dataTransfer?.files ?? [])];
    if (files.length) act(() => addFiles(files));
  });
  $("examples").addEventListener("click", () => act(async () => {
    await withSession(addExamples);
    $("suggestions").hidden = false;
    if (!$("query").value) $("query").value = SUGGESTIONS[0];
    await run();
  }));
  for (const text of SUGGESTIONS) {
    const button = element("button", { type: "button", className: "quiet" }, text);
    button.addEventListener("click", () => act(() => {
      $("query").value = text;
      return run();
    }));
    $("suggestions").append(button);
  }
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!$("query").value.trim()) {
      $("query-problem").textContent = "Type a question first.";
      $("query").focus();
    } else if (state.files.length === 0) {
      $("query-problem").textContent = "Add a PDF or an image first.";
    } else act(run);
  });
  $("query").addEventListener("input", () => { $("query-problem").textContent = ""; });
  $("keep").addEventListener("input", () => { state.keepIsSet = true; });
  for (const name of ["keep", "weight"]) {
    $(name).addEventListener("input", showControls);
    $(name).addEventListener("change", () => { if (state.files.length) act(run); });
  }
  $("cancel").addEventListener("click", () => running?.abort());
  for (const input of document.querySelectorAll('input[name="view"]')) {
    input.addEventListener("change", () => { $("orders").dataset.view = input.value; });
  }
  $("more").addEventListener("click", () => {
    state.all = !state.all;
    render();
  });
  $("copy").addEventListener("click", () => act(copyCode));
  for (const input of document.querySelectorAll('input[name="layer"]')) {
    input.addEventListener("change", () => act(showLayer));
  }
  $("opacity").addEventListener("input", setOpacity);
  $("close").addEventListener("click", () => $("viewer").close());
  $("viewer").addEventListener("close", () => { state.viewed = null; });
  $("viewer").addEventListener("click", (event) => { if (event.target === $("viewer")) $("viewer").close(); });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("viewer").addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT") return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  new ResizeObserver(drawLines).observe($("orders"));
  setInterval(() => { if (state.session !== null) fetch(inSession("alive"), { method: "POST" }).catch(() => {}); }, ALIVE_MS);
  addEventListener("pagehide", () => { if (state.session !== null) navigator.sendBeacon(inSession("close")); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

connect();
act(start);
