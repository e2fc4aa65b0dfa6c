// The texts behind a cell: how agreement is spread over them, and any text's neighbors side by side.

const textView = {};
const PAGE_OF_TEXTS = 40;

async function drawTexts(set) {
  const {matrix} = pairView;
  const [leftName, rightName] = [set.left[state.left], set.right[state.right]];
  for (const [id, most, at] of [["left-layer", matrix.nLeft, 0], ["right-layer", matrix.nRight, 1]]) {
    byId(id).max = most;
    byId(id).value = state.cell[at] + 1;
  }
  const [leftIds, rightIds] = await Promise.all([neighborsOf(set, "left", leftName), neighborsOf(set, "right", rightName)]);
  const hasIds = leftIds !== null && rightIds !== null;
  byId("texts-body").hidden = !hasIds;
  const missing = set.explain ? "The neighbors of these two models are not in this report." : "No neighbor lists are in this report.";
  // shared neighbors are what mutual k-NN counts, and no other measure
  const why = matrix.chance === null ? "Which texts agree is told of mutual k-NN alone." : `${missing} Make it with --explain to see which texts agree.`;
  fill(byId("texts-none"), hasIds ? "" : why);
  if (!hasIds) return;
  const k = Math.min(set.ks[state.k].k, set.explain.k);
  const counts = overlaps(set, leftIds, rightIds, state.cell[0], state.cell[1], k);
  const texts = (side) => {
    const place = side === "right" && set.explain.right_texts !== null ? set.explain.right_texts : set.explain.texts;
    return place === null ? null : payload.texts[place];
  };
  Object.assign(textView, {set, leftIds, rightIds, counts, k, left: texts("left"), right: texts("right"), shown: PAGE_OF_TEXTS});
  describeCell(set, k, counts);
  drawSpread(counts, k);
  orderTexts();
  listTexts();
  showNeighbors();
}

function describeCell(set, k, counts) {
  const mean = counts.reduce((sum, one) => sum + one, 0) / counts.length;
  const [i, j] = state.cell;
  fill(byId("cell-summary"),
    `Layer ${i + 1} of `, element("bdi", {}, set.left[state.left]), ` and layer ${j + 1} of `, element("bdi", {}, set.right[state.right]),
    ` share ${number(mean, 2)} of a text's ${k} nearest neighbors on average: similarity ${number(mean / k)}. By chance it would be ${number(k * k / (set.n_texts - 1), 2)}.`,
    set.ks[state.k].k > k ? ` (This report holds ${k} neighbors of each text here, not the ${set.ks[state.k].k} of the matrix above.)` : "",
    textView.left === null ? " The texts themselves are not at hand, so they are numbered." : "");
}

function drawSpread(counts, k) {
  const texts = new Array(k + 1).fill(0);
  for (const one of counts) texts[one] += 1;
  plot("spread", [{
    type: "bar", x: texts.map((_, shared) => shared), y: texts, marker: {color: color("accent")},
    hovertemplate: `%{y} texts share %{x} of ${k}<extra></extra>`,
  }], {margin: {l: 55, r: 10, t: 5, b: 42}, bargap: 0.15, axes: {
    xaxis: {title: {text: `shared neighbors, of ${k}`}, dtick: k > 20 ? undefined : 1, range: [-0.6, k + 0.6]}, yaxis: {title: {text: "texts"}},
  }});
}

const textOf = (texts, number) => (texts === null ? `text ${number + 1}` : texts.items[number]);

/** Return what a reader sees of a text, and how much more of it there is. */
function quotes(texts, number) {
  const quote = element("p", {class: "quote", dir: "auto"}, textOf(texts, number));
  if (texts === null || texts.cut === null || texts.lengths[number] <= texts.cut) return [quote];
  // before the text: long ones scroll
  return [element("p", {class: "hint"}, `The first ${count(texts.cut)} of ${count(texts.lengths[number])} characters:`), quote];
}

/** Order all texts by agreement and keep those that the search finds. */
function orderTexts() {
  const {counts, left, right} = textView;
  const wanted = state.search.trim().toLowerCase();
  const finds = (texts, text) => textOf(texts, text).toLowerCase().includes(wanted);
  const found = Array.from(counts.keys()).filter((text) => !wanted || finds(left, text) || finds(right, text)
    || `${text + 1}` === wanted.replace(/^#/, ""));
  const sign = {most: -1, least: 1, number: 0}[state.textOrder];
  found.sort((one, other) => sign * (counts[one] - counts[other]) || one - other);
  textView.found = found;
  if (!found.includes(state.text)) state.text = found.length ? found[0] : null;
}

function listTexts() {
  const {found, counts, k, left, right, shown} = textView;
  const cut = [left, right].map((texts) => texts?.cut).find((one) => one != null);
  const items = found.slice(0, shown).map((text) => element("li", {}, element("button", {
    type: "button", "aria-pressed": String(text === state.text), "data-text": String(text),
    onclick: () => change({text}),
  }, element("span", {class: "agrees"}, `${counts[text]}/${k}`), element("span", {class: "rank"}, `text ${text + 1} `), element("span", {class: "quote", dir: "auto"}, textOf(left, text)))));
  fill(byId("text-list"), ...items);
  byId("text-list").onkeydown = walkTexts;
  byId("more-texts").hidden = shown >= found.length;
  fill(byId("text-count"), `${count(found.length)} of ${count(counts.length)} texts, the first ${count(Math.min(shown, found.length))} shown. Each with how many of its ${k} neighbors are shared.${cut === undefined ? "" : ` Search sees the first ${count(cut)} characters of a text.`}`);
}

function walkTexts(event) {
  const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...byId("text-list").querySelectorAll("button")];
  const next = buttons[buttons.indexOf(document.activeElement) + step];
  if (!next) return;
  next.focus();
  next.click();
}

/** Show the chosen text and its neighbors under either model, shared ones marked. */
function showNeighbors() {
  const {set, counts, k, left, right} = textView;
  for (const button of byId("text-list").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.text) === state.text));
  }
  const text = state.text;
  if (text === null) return fill(byId("neighbors"), element("p", {class: "hint"}, "No text fits the search."));
  const ranked = (ids, layer) => Array.from(ids.subarray((layer * set.n_texts + text) * set.explain.k).subarray(0, k));
  const lists = [ranked(textView.leftIds, state.cell[0]), ranked(textView.rightIds, state.cell[1])];
  const column = (side, texts) => {
    const [own, other] = side === 0 ? lists : [lists[1], lists[0]];
    const name = side === 0 ? set.left[state.left] : set.right[state.right];
    return element("div", {}, element("h4", {}, element("bdi", {}, name), `, layer ${state.cell[side] + 1}`),
      element("ol", {"data-side": side === 0 ? "left" : "right"}, ...own.map((id, rank) => neighborItem(id, rank, other.indexOf(id), texts))));
  };
  fill(byId("neighbors"),
    element("h3", {tabindex: "-1"}, `Text ${text + 1}: ${counts[text]} of ${k} neighbors shared`),
    element("div", {class: "card chosen-text"}, ...quotes(left, text), ...(right === left ? [] : quotes(right, text))),
    element("div", {class: "neighbor-lists"}, column(0, left), column(1, right)));
}

function neighborItem(id, rank, otherRank, texts) {
  const isShared = otherRank >= 0;
  const mark = isShared ? element("span", {class: "mark"}, ` ● shared, there ${otherRank + 1}.`) : "";
  return element("li", {class: isShared ? "shared" : null, "data-text": String(id)},
    element("span", {class: "rank"}, `${rank + 1}. text ${id + 1}`), mark, " ",
    element("button", {type: "button", onclick: () => change({text: id, search: ""}).then(() => byId("neighbors").querySelector("h3")?.focus()), "aria-label": `Show text ${id + 1}`}, "go to"),
    element("div", {class: "quote", dir: "auto"}, textOf(texts, id)));
}
