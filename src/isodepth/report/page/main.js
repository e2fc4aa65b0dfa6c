// What is chosen, and which parts are drawn again when a choice changes.

const state = {
  set: 0, k: 0, left: 0, right: 0, cell: [0, 0], scale: "raw", sizes: "layers", order: "given", sameScale: false,
  text: null, search: "", textOrder: "most", filter: "",
};
let current = null;
let queue = Promise.resolve();

const PARTS = [
  [["set", "scale", "k", "sizes", "order", "look"], drawOverview],
  [["left", "right"], markPair],
  [["set", "k", "scale", "left", "right", "sameScale", "overlays", "look"], drawPair],
  [["set", "k", "scale", "left", "right", "cell"], markCell],
  [["set", "k", "left", "right", "cell", "look"], drawTexts],
  [["search", "textOrder"], () => { if (textView.counts) { textView.shown = PAGE_OF_TEXTS; orderTexts(); listTexts(); } }],
  [["text", "search", "textOrder"], () => { if (textView.counts) showNeighbors(); }],
  [["set", "k", "left", "right", "look"], () => drawWhenSeen("all", drawViews)],
  [["set", "left", "right", "filter"], drawTable],
  [["set"], drawZoo],
  [["set"], drawDownloads],
];

const seen = {visible: new Set(), waiting: new Map(), timer: 0};

/** Draw a section when it is near the screen and choices rest: some take half a second. Until then it is busy. */
function drawWhenSeen(id, draw) {
  seen.waiting.set(id, draw);
  byId(id).setAttribute("aria-busy", "true");
  drawSeen(150);
}

function drawSeen(delay) {
  clearTimeout(seen.timer);
  seen.timer = setTimeout(() => {
    for (const [id, draw] of [...seen.waiting]) {
      if (!seen.visible.has(id)) continue;
      seen.waiting.delete(id);
      queue = queue.then(() => drawNow(id, draw));
    }
  }, delay);
}

async function drawNow(id, draw) {
  try {
    await draw(current);
  } catch (error) {
    fail(error);
  }
  if (!seen.waiting.has(id)) byId(id).removeAttribute("aria-busy");
}

function watch(ids) {
  const observer = new IntersectionObserver((entries) => {
    for (const {target, isIntersecting} of entries) seen.visible[isIntersecting ? "add" : "delete"](target.id);
    drawSeen(0);
  }, {rootMargin: "400px"});
  for (const id of ids) observer.observe(byId(id));
  addEventListener("beforeprint", () => {
    for (const [id, draw] of [...seen.waiting]) {
      if (!ids.includes(id)) continue;
      seen.waiting.delete(id);
      drawNow(id, draw);
    }
  });
}

let waiting = null;

/** Return what is chosen, with what is about to be. */
const latest = () => ({...state, ...waiting});

/** Change what is chosen and draw what depends on it; changes that come while others are drawn wait, together. */
function change(wanted) {
  if (waiting !== null) {
    const stale = "set" in wanted ? ["left", "right", "cell"] : "left" in wanted || "right" in wanted ? ["cell"] : [];
    for (const name of stale) delete waiting[name];
    Object.assign(waiting, wanted);
    return queue;
  }
  waiting = {...wanted};
  const main = document.querySelector("main");
  main.setAttribute("aria-busy", "true");
  queue = queue.then(() => {
    const now = waiting;
    waiting = null;
    return changed(now);
  }).catch(fail).then(() => { if (waiting === null) main.removeAttribute("aria-busy"); });
  return queue;
}

async function changed(wanted) {
  const before = {...state};
  Object.assign(state, wanted);
  if (current === null || "set" in wanted) {
    current = await openSet(state.set);
    settleSet("left" in wanted);
  }
  const sizes = [current.left_layers[state.left], current.right_layers[state.right]];
  const isOtherPair = before.left !== state.left || before.right !== state.right || "set" in wanted;
  if (isOtherPair && !("cell" in wanted)) state.cell = brightest(sizes);
  const inside = state.cell.map((layer, side) => Math.max(0, Math.min(sizes[side] - 1, layer)));
  if (String(inside) !== String(state.cell)) state.cell = inside;  // an equal one is no change
  const names = new Set([...Object.keys(wanted), ...Object.keys(state).filter((name) => before[name] !== state[name])]);
  showChoices();
  for (const [needs, draw] of PARTS) if (needs.some((name) => names.has(name))) await draw(current);
  remember();
}

/** Choose what a newly opened set has: its main k, and a pair of two models unless one is asked for. */
function settleSet(isPairWanted) {
  const {ks, pairs, left, right} = current;
  state.text = null;
  const wanted = state.wantedK ?? ks[current.main].k;
  const place = ks.findIndex((one) => one.k === wanted);
  state.k = place >= 0 ? place : current.main;
  const isThere = state.left < left.length && state.right < right.length;
  if (!isThere || !(isPairWanted || pairOf(current, state.left, state.right))) {
    const first = pairs[0] || {left: 0, right: 0};
    [state.left, state.right] = [first.left, first.right];
  }
  if (ks[state.k].chance === null) state.scale = "raw";
}

/** Return the pair's most similar cell. */
function brightest([nLeft, nRight]) {
  const matrix = matrixOf(current, state.k, state.left, state.right);
  let best = [0, 0];
  for (let i = 0; i < nLeft; i += 1) {
    for (let j = 0; j < nRight; j += 1) if (matrix.raw(i, j) > matrix.raw(...best)) best = [i, j];
  }
  return best;
}

/** Let all controls show what is chosen. */
function showChoices() {
  const names = (side) => current[side].map((label, place) => element("option", {value: String(place)}, label));
  for (const side of ["left", "right"]) {
    fill(byId(side), ...names(side));
    byId(side).value = String(state[side]);
  }
  byId("set").value = String(state.set);
  byId("k").max = String(current.ks.length - 1);
  byId("k").value = String(state.k);
  byId("k-value").textContent = String(current.ks[state.k].k);
  byId("k-control").hidden = current.ks.length < 2;
  for (const name of ["scale", "sizes", "order"]) {
    for (const input of document.getElementsByName(name)) input.checked = input.value === state[name];
  }
  const hasChance = current.ks[state.k].chance !== null;
  for (const input of document.getElementsByName("scale")) input.disabled = !hasChance && input.value !== "raw";
  byId("order").hidden = current.tree === null;
  byId("same-scale").checked = state.sameScale;
  byId("search").value = state.search;
  fill(byId("set-notes"), current.notes.join(" "));
}

let remembering = 0;

/** Keep the choice in the address, so that a link leads back to it, once choices rest: browsers limit how often. */
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    try {
      history.replaceState(null, "", `#${choiceWords()}`);
    } catch (error) {
      if (error.name !== "SecurityError") fail(error);  // a page in a sandbox has no address of its own
    }
  }, 250);
}

function choiceWords() {
  return new URLSearchParams({
    texts: String(state.set), k: String(current.ks[state.k].k), left: current.left[state.left], right: current.right[state.right],
    layers: state.cell.map((layer) => layer + 1).join(","), values: state.scale,
  });
}

/** Return the choice that the address holds, as far as it fits. */
async function remembered() {
  const words = new URLSearchParams(location.hash.slice(1));
  const set = Number(words.get("texts"));
  const wanted = {set: Number.isInteger(set) && set >= 0 && set < payload.sets.length ? set : 0};
  if (words.has("k")) wanted.wantedK = Number(words.get("k"));
  const one = payload.sets[wanted.set];
  const [left, right] = [one.left.indexOf(words.get("left")), one.right.indexOf(words.get("right"))];
  if (left < 0 || right < 0) return wanted;
  Object.assign(wanted, {left, right});
  const layers = (words.get("layers") || "").split(",").map((layer) => Number(layer) - 1);
  if (layers.length === 2 && layers.every((layer) => Number.isInteger(layer) && layer >= 0)) wanted.cell = layers;
  if (Object.hasOwn(SCALE_NAMES, words.get("values"))) wanted.scale = words.get("values");
  return wanted;
}

function listen() {
  const on = (id, event, act) => byId(id).addEventListener(event, act);
  on("set", "change", () => change({set: Number(byId("set").value)}));
  on("k", "input", () => { const k = Number(byId("k").value); change({k, wantedK: current.ks[k].k}); });
  for (const name of ["scale", "sizes", "order"]) on(name, "change", (event) => change({[name]: event.target.value}));
  for (const side of ["left", "right"]) {
    on(side, "change", () => change({[side]: Number(byId(side).value)}));
    on(`${side}-layer`, "change", () => change({cell: ["left-layer", "right-layer"].map((id) => Math.round(Number(byId(id).value)) - 1 || 0)}));
  }
  for (const id of ["show-diagonal", "show-matches", "show-map"]) on(id, "change", () => change({overlays: id}));
  on("same-scale", "change", () => change({sameScale: byId("same-scale").checked}));
  on("search", "input", () => change({search: byId("search").value}));
  on("text-order", "change", () => change({textOrder: byId("text-order").value}));
  on("more-texts", "click", () => { textView.shown += PAGE_OF_TEXTS * 5; listTexts(); });
  on("filter", "input", () => change({filter: byId("filter").value}));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => change({look: true}));
  // another address of this page, by hand or by a link; #pair is the skip link's
  addEventListener("hashchange", async () => { if (new URLSearchParams(location.hash.slice(1)).has("texts")) change(await remembered()); });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    change({sizes: state.sizes});
  });
}

/** Say that the page does not work, and why: nobody looks into a console. */
function fail(error) {
  const place = byId("failure");
  place.hidden = false;
  const cure = typeof DecompressionStream === "undefined" ? " A browser of the last years is needed (DecompressionStream)." : "";
  place.textContent = `This page failed: ${error.message}.${cure}`;
  console.error(error);
}

function describeCompared() {
  const models = new Set(payload.sets.flatMap((set) => [...set.left, ...set.right]));
  const sets = new Set(payload.sets.map((set) => set.name));
  const words = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;
  byId("compared").textContent = `${words(models.size, "model")}, ${words(sets.size, "text set")}`;
  const several = sets.size < payload.sets.length;
  fill(byId("set"), ...payload.sets.map((set, place) => element("option", {value: String(place)},
    several ? `${set.name} (${set.measure_name}, ${set.capture}, ${set.pooling})` : set.name)));
}

async function start() {
  payload = JSON.parse(byId("payload").textContent);
  describeCompared();
  drawAbout();
  listen();
  watch(["all"]);
  await change(await remembered());
  if (!byId("failure").hidden) return;
  document.documentElement.dataset.ready = "true";
  performance.mark("ready");
}

start().catch(fail);
