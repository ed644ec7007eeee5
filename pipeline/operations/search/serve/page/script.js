"use strict";
// The query is in the address (?item=5 or ?code=0110), so that reloading, sharing and the browser's history work.

const at = (id) => document.getElementById(id);
const COUNTS = [1, 5, 10, 20, 50, 100, 200, 500, 1000]; // what the slider for results offers
const SAMPLES = 18; // items to start from
const TINY = 32; // up to this side in pixels, an image is enlarged without blur
const uploads = []; // the images chosen so far: {address, name}; the history's states hold their places
let about = null; // the index
let running = null; // aborts the search that runs

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// ---- the API

async function ask(path, options = {}) {
  let answer, content;
  try {
    answer = await fetch(path, options);
    content = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(answer ? `the server answered ${answer.status}` : "the server can't be reached");
  }
  if (!answer.ok) throw new Error(content.error ?? `the server answered ${answer.status}`);
  return content;
}

function settings() {
  const radius = Number(at("radius").value);
  const chosen = { count: COUNTS[at("count").value] };
  if (radius < about.code_length) chosen.radius = radius; // at its end, the slider means any distance
  return new URLSearchParams(chosen);
}

// ---- bits

const NAMES = ["zero", "one", "zero differs", "one differs"];

/** A picture of a code; where a bit differs from the other code's, it is marked. */
function drawn(code, other = code) {
  const columns = code.length <= 20 ? code.length : code.length <= 64 ? 16 : 32;
  const paths = ["", "", "", ""];
  const differing = [];
  for (let bit = 0; bit < code.length; bit++) {
    const differs = code[bit] !== other[bit];
    if (differs) differing.push(bit + 1);
    const x = bit % columns, y = Math.floor(bit / columns);
    paths[Number(code[bit]) + 2 * differs] += `M${x + 0.09} ${y + 0.09}h.82v.82h-.82z`;
  }
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "bits");
  svg.setAttribute("viewBox", `0 0 ${columns} ${Math.ceil(code.length / columns)}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Code ${code}` + (differing.length ? `; bits that differ: ${differing.join(", ")}` : ""));
  paths.forEach((path, kind) => {
    if (!path) return;
    const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
    shape.setAttribute("class", NAMES[kind]);
    shape.setAttribute("d", path);
    svg.append(shape);
  });
  return svg;
}

// ---- items

const named = (item) => `${about.vectors ? "vector" : "image"} ${item.name}`;

const labelsOf = (item) => item.labels.join(", ") || "no label";

function labels(item, wanted) {
  return item.labels.map((label) => make("span", { class: wanted.includes(label) ? "label same" : "label" }, label));
}

function sharpen(image) {
  image.addEventListener("load", () => image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) <= TINY));
}

/** An item as an entry of the list; a query's code and labels, if there is one, mark what differs and what agrees. */
function card(item, query = null) {
  const far = query ? `Distance ${item.distance}. ` : "";
  const link = make("a", { href: `?item=${item.id}`, draggable: "false", "data-id": item.id,
    "aria-label": `${far}${labelsOf(item)}; ${named(item)}` });
  if (about.vectors) {
    link.className = "plain";
  } else {
    const image = make("img", { alt: `${item.name} (${labelsOf(item)})`, loading: "lazy", draggable: "false", width: 160, height: 160 });
    sharpen(image);
    image.src = `api/items/${item.id}/thumbnail`;
    link.append(make("div", { class: "picture" }, image));
  }
  const text = make("div", { class: "text" });
  if (query) text.append(make("span", { class: "distance", title: "Hamming distance" }, make("b", {}, item.distance), item.distance === 1 ? " bit" : " bits"));
  text.append(
    make("div", { class: "row" },
      make("span", { class: "labels" }, ...labels(item, query?.labels ?? [])),
      make("span", { class: "id", title: item.name }, item.name)),
    drawn(item.code, query?.code));
  link.append(text);
  return make("li", {}, link);
}

// ---- what the page shows

function fail(message) {
  at("error").textContent = message;
  at("error").hidden = !message;
  if (!message) return;
  at("status").textContent = "";
  if (!at("list").childElementCount) at("title").textContent = "Nothing to show";
}

/** Run something that asks the server; what ran before is given up, and a failure is one line on the page. */
async function during(doing, action) {
  running?.abort();
  const mine = (running = new AbortController());
  at("results").setAttribute("aria-busy", "true");
  at("status").textContent = doing;
  fail("");
  try {
    await action(mine.signal);
  } catch (error) {
    if (error.name !== "AbortError") fail(error.message);
  } finally {
    if (running === mine) at("results").removeAttribute("aria-busy");
  }
}

function showQuery({ name, labels: known = [], code, address = null }) {
  at("shown").hidden = false;
  at("name").textContent = name;
  at("labels").replaceChildren(...labels({ labels: known }, []));
  at("bits").replaceChildren(drawn(code));
  at("picture").hidden = address === null;
  at("unseen").hidden = address !== null;
  if (address !== null && at("picture").getAttribute("src") !== address) at("picture").src = address;
  at("picture").alt = `Query: ${name}`;
  document.title = `${name} · Image search`;
}

function summary(results, query, began) {
  const distances = results.map((one) => one.distance);
  const parts = [`${results.length.toLocaleString("en")} of ${plural(about.count, about.vectors ? "vector" : "image")}`];
  const [least, most] = [distances[0], distances.at(-1)];
  parts.push(least === most ? `distance ${least}` : `distances ${least} to ${most}`);
  if (query.labels.length) {
    const same = results.filter((one) => one.labels.some((label) => query.labels.includes(label))).length;
    parts.push(`${same} share${same === 1 ? "s" : ""} a label`);
  }
  return [...parts, `${Math.round(performance.now() - began)} ms`].join(" · ");
}

function showResults(answer, query, began) {
  const { results } = answer;
  at("title").textContent = query.title;
  at("others").hidden = true;
  at("list").replaceChildren(...results.map((one) => card(one, { code: answer.code, labels: query.labels })));
  at("status").textContent = results.length ? summary(results, query, began)
    : `Nothing is within distance ${at("radius").value}. Raise the distance to see more.`;
}

// ---- queries

async function showSamples() {
  at("shown").hidden = true;
  document.title = "Image search";
  await during("", async (signal) => {
    const ids = new Set();
    const wanted = Math.min(SAMPLES, about.count);
    while (ids.size < wanted) ids.add(Math.floor(Math.random() * about.count));
    const items = await Promise.all([...ids].map((id) => ask(`api/items/${id}`, { signal })));
    at("title").textContent = "Start from one of these";
    at("others").hidden = about.count <= SAMPLES;
    at("list").replaceChildren(...items.map((item) => card(item)));
  });
}

async function showItem(id) {
  await during("Searching …", async (signal) => {
    const began = performance.now();
    const path = `api/items/${encodeURIComponent(id)}`;
    const [item, answer] = await Promise.all([ask(path, { signal }), ask(`${path}/search?${settings()}`, { signal })]);
    showQuery({ ...item, name: named(item).replace(/^./, (first) => first.toUpperCase()), address: about.vectors ? null : `${path}/thumbnail` });
    showResults(answer, { labels: item.labels, title: `Nearest to ${named(item)}` }, began);
  });
}

async function showCode(code, upload) {
  await during("Searching …", async (signal) => {
    const began = performance.now();
    const answer = await ask(`api/search?${new URLSearchParams({ code })}&${settings()}`, { signal });
    showUpload(answer, upload, began);
  });
}

function showUpload(answer, upload, began) {
  const name = upload?.name ?? "a code";
  showQuery({ name, code: answer.code, address: upload?.address ?? null });
  showResults(answer, { labels: [], title: `Nearest to ${name}` }, began);
}

/** Search for a file, or for a vector as text, and make it the history's next entry. */
async function send(name, body, address) {
  if (body.size > about.max_bytes) {
    fail(`${name}: ${(body.size / 1e6).toFixed(1)} MB; expected at most ${about.max_bytes / 1e6} MB`);
    return;
  }
  await during("Searching …", async (signal) => {
    const began = performance.now();
    const type = about.vectors ? "application/json" : "application/octet-stream";
    const answer = await ask(`api/search?${settings()}`, { method: "POST", body, headers: { "content-type": type }, signal });
    const upload = uploads.push({ name, address }) - 1;
    leave(new URLSearchParams({ code: answer.code }), { upload });
    showUpload(answer, uploads[upload], began);
    atTop();
  });
}

// ---- addresses and history

/** Add an entry to the history; the one that is left remembers the result that had the focus. */
function leave(query, state = {}) {
  history.replaceState({ ...history.state, focus: document.activeElement?.dataset.id ?? null }, "");
  const all = new URLSearchParams([...query, ...settings()]);
  history.pushState(state, "", query.size ? `?${all}` : "./");
}

function atTop() {
  scrollTo(0, 0);
  at("title").focus({ preventScroll: true });
}

/** Show what the address says. */
async function show() {
  const asked = new URLSearchParams(location.search);
  const count = COUNTS.indexOf(Number(asked.get("count")));
  if (count >= 0) at("count").value = count;
  if (asked.has("item") || asked.has("code")) at("radius").value = asked.get("radius") ?? about.code_length;
  label();
  if (asked.has("item")) await showItem(asked.get("item"));
  else if (asked.has("code")) await showCode(asked.get("code"), uploads[history.state?.upload]);
  else await showSamples();
}

function label() {
  const radius = Number(at("radius").value);
  const text = radius < about.code_length ? `up to ${radius}` : "any";
  const count = `up to ${COUNTS[at("count").value].toLocaleString("en")}`;
  at("radius-shown").textContent = text;
  at("radius").setAttribute("aria-valuetext", text);
  at("count-shown").textContent = count;
  at("count").setAttribute("aria-valuetext", count);
}

let soon;
function changed() {
  label();
  clearTimeout(soon);
  soon = setTimeout(() => {
    const asked = new URLSearchParams(location.search);
    if (!asked.has("item") && !asked.has("code")) return;
    asked.delete("radius");
    const all = new URLSearchParams({ ...Object.fromEntries(asked), ...Object.fromEntries(settings()) });
    history.replaceState(history.state, "", `?${all}`);
    show();
  }, 120);
}

// ---- what the user does

function follow(event) {
  const link = event.target.closest("a[data-id]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  leave(new URLSearchParams({ item: link.dataset.id }));
  show().then(atTop);
}

function choose(file) {
  if (!file) return;
  if (about.vectors) fail("this index holds vectors, and can't search for an image");
  else send(file.name || "the pasted image", file, URL.createObjectURL(file));
}

const imageIn = (data) => [...data.files].find((file) => file.type.startsWith("image/")) ?? data.files[0];

function move(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, summary")) return;
  if (event.key === "/") {
    event.preventDefault();
    (about.vectors ? at("vector") : at("choose")).focus();
    return;
  }
  const links = [...document.querySelectorAll("#list a")];
  const here = links.indexOf(document.activeElement);
  const wide = links.filter((link) => link.offsetTop === links[0].offsetTop).length;
  const goal = { ArrowRight: here + 1, ArrowLeft: here - 1, ArrowDown: here < 0 ? 0 : here + wide, ArrowUp: here - wide, Home: 0, End: links.length - 1 }[event.key];
  if (goal === undefined || (here < 0 && document.activeElement !== document.body && document.activeElement !== at("title"))) return;
  if (here < 0 && !["ArrowRight", "ArrowDown"].includes(event.key)) return; // keys that scroll the page
  event.preventDefault();
  links[goal]?.focus();
}

function dragged(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.toggle("dropping", event.type === "dragenter" || event.type === "dragover");
  if (event.type === "drop") choose(imageIn(event.dataTransfer));
}

function listen() {
  sharpen(at("picture"));
  at("list").addEventListener("click", follow);
  at("home").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    leave(new URLSearchParams());
    show().then(atTop);
  });
  at("choose").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => {
    choose(at("file").files[0]);
    at("file").value = ""; // the same file may be chosen again
  });
  at("others").addEventListener("click", showSamples);
  at("vectors").addEventListener("submit", (event) => {
    event.preventDefault();
    send("the vector", new Blob([`{"vector": ${at("vector").value}}`]), null);
  });
  for (const slider of ["radius", "count"]) at(slider).addEventListener("input", changed);
  addEventListener("keydown", move);
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) choose(imageIn(event.clipboardData));
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) addEventListener(kind, dragged);
  addEventListener("popstate", async (event) => {
    await show();
    document.querySelector(`#list a[data-id="${CSS.escape(event.state?.focus ?? "")}"]`)?.focus();
  });
}

async function start() {
  try {
    about = await ask("api/index");
  } catch (error) {
    fail(error.message);
    return;
  }
  const things = plural(about.count, about.vectors ? "vector" : "image") + (about.dataset ? ` (${about.dataset})` : "");
  const index = about.kind === "flat" ? "" : `, approximate index (${about.kind})`;
  at("about").textContent = `${things} as codes of ${about.code_length} bits` + (about.cell ? `, by ${about.cell}` : "") + index;
  at("pictures").hidden = about.vectors;
  at("vectors").hidden = !about.vectors;
  document.querySelector("#shown .picture").hidden = about.vectors;
  at("radius").max = about.code_length;
  at("radius").value = about.code_length;
  at("count").max = COUNTS.findLastIndex((count) => count <= about.max_count);
  at("count").value = COUNTS.indexOf(20);
  listen();
  await show();
  document.documentElement.dataset.ready = "true";
}

start();
