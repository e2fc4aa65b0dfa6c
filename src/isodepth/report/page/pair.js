// Two models: the matrix with its overlays and marginals, the chosen cell, the key numbers.

const pairView = {};

function drawPair(set) {
  const {left, right} = state;
  const matrix = matrixOf(set, state.k, left, right);
  const pair = pairOf(set, left, right);
  Object.assign(pairView, {set, matrix, pair});
  const names = [set.left[left], set.right[right]];
  const reads = (texts) => (set.right_name && texts ? [" reading ", element("bdi", {class: "read"}, texts)] : []);
  fill(byId("pair-title"), element("bdi", {}, names[0]), ...reads(set.left_name), " × ", element("bdi", {}, names[1]), ...reads(set.right_name));
  describeVerdict(set, pair);
  describeKey(set, pair);
  drawMatrix(set, matrix, pair, names);
  fillPairNumbers(set, pair, names);
}

function describeVerdict(set, pair) {
  const words = [];
  if (!pair) words.push("A model with itself: every layer is like itself, and nothing is tested.");
  else if (pair.sentence) words.push(pair.swapped ? sidesSwapped(pair.sentence) : pair.sentence);
  else words.push(`How far ${set.measure_name} strays by chance is not known, so there is no verdict.`);
  if (pair && state.k !== set.main) words.push(` (Verdict, intervals and depth map are those of ${set.ks[set.main].said}.)`);
  fill(byId("verdict"), ...words);
}

/** Return words about a pair as they are true of it the other way round. */
function sidesSwapped(words) {
  return words.replace(/\b(left|right)(?= model's)/g, (side) => (side === "left" ? "right" : "left"));
}

/** Say what the lines over and beside the matrix are. */
function describeKey(set, pair) {
  const key = (kind, words) => element("span", {}, element("span", {class: `key ${kind}`}), words);
  const keys = [key("above", "above: the highest of each column"), key("beside", "beside: the highest of each row; of a cell under the pointer, its own row and column")];
  if (byId("show-diagonal").checked) keys.push(key("diagonal", "border of the generalized diagonal"));
  if (byId("show-matches").checked) {
    keys.push(key("rows", "most similar column of each row"), key("columns-key", "most similar row of each column"));
  }
  if (byId("show-map").checked && pair) {
    keys.push(key("map", `depth map (${set.ks[set.main].said})`));
    if (set.from_texts) keys.push(key("band", `its ${percent(payload.level)} band, layer by layer`));
  }
  byId("matrix-key").dataset.scale = state.scale;
  fill(byId("matrix-key"), ...keys);
}

/** Return where to label layers: 1, round numbers, the last. */
function layerTicks(nLayers) {
  const step = [1, 2, 5, 10, 20, 50, 100].find((one) => nLayers <= 10 * one) || nLayers;
  const rounds = Array.from({length: Math.floor(nLayers / step)}, (_, place) => (place + 1) * step);
  return [...new Set([1, ...rounds.filter((layer) => nLayers - layer >= step / 2), nLayers])];
}

function drawMatrix(set, matrix, pair, names) {
  const {nLeft, nRight} = matrix;
  const value = matrix[state.scale];
  const [rows, columns] = [Array.from({length: nLeft}, (_, i) => i), Array.from({length: nRight}, (_, j) => j)];
  const values = rows.map((i) => columns.map((j) => value(i, j)));
  const [lowest, highest] = state.sameScale ? endsOfPairs(set, state.k, state.scale) : endsOf([matrix], state.scale);
  const [x, y] = [columns.map((j) => j + 1), rows.map((i) => i + 1)];
  const heat = {
    type: "heatmap", z: values, x, y, zmin: lowest, zmax: highest, colorscale: plotScale(state.scale),
    customdata: rows.map((i) => columns.map((j) => cellNumbers(set, matrix, pair, i, j))), meta: names.map(plotText),
    hovertemplate: "layer %{y} of %{meta[0]} (depth %{customdata[0]})<br>layer %{x} of %{meta[1]} (depth %{customdata[1]})<br>"
      + `similarity %{customdata[2]}${matrix.chance === null ? "" : "<br>chance %{customdata[3]}, z %{customdata[4]}<br>calibrated %{customdata[5]}"}<extra></extra>`,
    colorbar: {title: {text: SCALE_NAMES[state.scale], side: "right"}, thickness: 14, outlinewidth: 0, x: 1.02, len: 0.8, y: 0.4},
  };
  const [above, beside] = marginals(matrix, null);
  const best = {mode: "lines", hoverinfo: "skip", line: {color: color("left"), width: 1.6}};
  const traces = [heat,
    {...best, type: "scatter", x, y: above, yaxis: "y2"},
    {...best, type: "scatter", x: beside, y, xaxis: "x2", line: {color: color("right"), width: 1.6}},
    ...overlays(set, matrix, pair)];
  const look = {
    margin: {l: 60, r: 70, t: 8, b: 48}, hovermode: "closest",
    axes: {
      xaxis: {domain: [0, 0.82], range: [0.5, nRight + 0.5], tickvals: layerTicks(nRight), title: {text: `layer of ${plotText(shortened(names[1]))}`}, zeroline: false, showgrid: false},
      yaxis: {domain: [0, 0.82], range: [0.5, nLeft + 0.5], tickvals: layerTicks(nLeft), title: {text: `layer of ${plotText(shortened(names[0]))}`}, zeroline: false, showgrid: false},
      xaxis2: {domain: [0.84, 1], anchor: "y", nticks: 3, tickangle: 0, showticklabels: !isNarrow(), ...marginalRange(matrix, beside)},
      yaxis2: {domain: [0.84, 1], anchor: "x", nticks: 3, ...marginalRange(matrix, above)},
    },
    shapes: [cursor()],
  };
  byId("matrix").setAttribute("aria-label", `Affinity matrix of ${names.join(" and ")}`);
  plot("matrix", traces, look);
  const place = byId("matrix");
  for (const event of ["plotly_hover", "plotly_unhover"]) place.removeAllListeners?.(event);
  place.onclick = chooseCellAt;
  place.on("plotly_hover", (event) => followHover(event.points[0]));
  place.on("plotly_unhover", () => followHover(null));
  place.onkeydown = walkCells;
}

/** Choose the cell under the pointer. Plotly's own click is lost while the label of a new cell is still on its way. */
function chooseCellAt({clientX, clientY}) {
  const {nLeft, nRight} = pairView.matrix;
  const area = byId("matrix").querySelector(".nsewdrag[data-subplot=xy]").getBoundingClientRect();
  const cell = [
    Math.floor((area.bottom - clientY) / area.height * nLeft), Math.floor((clientX - area.left) / area.width * nRight),
  ];
  if (cell.every((layer, side) => layer >= 0 && layer < [nLeft, nRight][side])) change({cell});
}

/** Return the range of a curve beside the matrix: that of the matrix too, for the row or column under the pointer. */
function marginalRange(matrix, values) {
  if (state.scale !== "raw") return {};
  return {range: [1.06 * endsOf([matrix], "raw")[0], 1.06 * Math.max(1e-9, ...values)]};
}

/** Return what is said of a cell: depths, similarity with its interval, chance, z, calibrated. */
function cellNumbers(set, matrix, pair, i, j) {
  const similarity = matrix.raw(i, j);
  const error = pair && state.k === set.main ? errorOf(set, pair, i, j) : null;
  const reach = error === null ? null : payload.reach * error;
  const said = reach === null ? number(similarity)
    : estimate([similarity, Math.max(similarity - reach, 0), Math.min(similarity + reach, 1)]);
  return [number((i + 1) / matrix.nLeft, 2), number((j + 1) / matrix.nRight, 2), said, number(matrix.chance, 4),
    number(matrix.z(i, j), 1), number(matrix.calibrated(i, j))];
}

/** Return the curves beside the matrix: of the hovered cell's row and column, else the highest of each. */
function marginals(matrix, cell) {
  const value = matrix[state.scale];
  const [lefts, rights] = [[...Array(matrix.nLeft).keys()], [...Array(matrix.nRight).keys()]];
  if (cell) return [rights.map((j) => value(cell[0], j)), lefts.map((i) => value(i, cell[1]))];
  return [rights.map((j) => Math.max(...lefts.map((i) => value(i, j)))), lefts.map((i) => Math.max(...rights.map((j) => value(i, j))))];
}

let hovered = null;
let isWaiting = false;

function followHover(point) {
  hovered = point && point.curveNumber === 0 ? [point.y - 1, point.x - 1] : null;
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    const [above, beside] = marginals(pairView.matrix, hovered);
    const place = byId("matrix");
    if (place.data) Plotly.restyle(place, {y: [above, place.data[2].y], x: [place.data[1].x, beside]}, [1, 2]);
  });
}

function overlays(set, matrix, pair) {
  const {nLeft, nRight} = matrix;
  const traces = [];
  const ink = state.scale === "z" ? "0,0,0" : "255,255,255";  // z is white at chance
  const line = {type: "scatter", mode: "lines", hoverinfo: "skip"};
  if (byId("show-diagonal").checked) {
    traces.push({...line, ...outline(nLeft, nRight), line: {color: `rgb(${ink})`, width: 1.3, dash: "dot"}});
  }
  if (byId("show-matches").checked) {
    const [rows, columns] = [bestMatches(matrix, "left"), bestMatches(matrix, "right")];
    const marker = (symbol, shade) => ({size: 6, symbol, color: shade, line: {color: "#000", width: 0.6}});
    traces.push({...line, mode: "markers", x: rows.map((one) => one.layer + 1), y: rows.map((_, i) => i + 1), marker: marker("circle", "#4cc9f0")});
    traces.push({...line, mode: "markers", x: columns.map((_, j) => j + 1), y: columns.map((one) => one.layer + 1), marker: marker("square", "#80ed99")});
  }
  if (byId("show-map").checked && pair) {
    const rows = mapOf(set, pair, "left");
    const y = rows.map((_, i) => i + 1);
    if (rows.length && !Number.isNaN(rows[0].low)) {
      const band = {...line, line: {color: `rgba(${ink},.75)`, width: 0.8}};
      traces.push({...band, x: rows.map((one) => one.low), y});
      traces.push({...band, x: rows.map((one) => one.high), y, fill: "tonextx", fillcolor: `rgba(${ink},.22)`});
    }
    traces.push({...line, x: rows.map((one) => one.layer), y, line: {color: `rgb(${ink})`, width: 2.6}});
    traces.push({...line, x: rows.map((one) => one.layer), y, line: {color: "#009e73", width: 1.4}});
  }
  return traces;
}

/** Return the border of the generalized diagonal as one broken line. */
function outline(nLeft, nRight) {
  const [x, y] = [[], []];
  const segment = (x0, y0, x1, y1) => { x.push(x0, x1, null); y.push(y0, y1, null); };
  const isOn = (i, j) => i >= 0 && j >= 0 && i < nLeft && j < nRight && onDiagonal(i, j, nLeft, nRight);
  for (let i = 0; i < nLeft; i += 1) {
    for (let j = 0; j < nRight; j += 1) {
      if (!isOn(i, j)) continue;
      if (!isOn(i - 1, j)) segment(j + 0.5, i + 0.5, j + 1.5, i + 0.5);
      if (!isOn(i + 1, j)) segment(j + 0.5, i + 1.5, j + 1.5, i + 1.5);
      if (!isOn(i, j - 1)) segment(j + 0.5, i + 0.5, j + 0.5, i + 1.5);
      if (!isOn(i, j + 1)) segment(j + 1.5, i + 0.5, j + 1.5, i + 1.5);
    }
  }
  return {x, y};
}

const cursor = () => ({
  type: "rect", x0: state.cell[1] + 0.5, x1: state.cell[1] + 1.5, y0: state.cell[0] + 0.5, y1: state.cell[0] + 1.5,
  line: {color: "#00e5ff", width: 2.5},
});

/** Move the frame to the chosen cell and tell its numbers. */
function markCell(set) {
  if (byId("matrix").layout) Plotly.relayout("matrix", {shapes: [cursor()]});
  const [i, j] = state.cell;
  const {matrix, pair} = pairView;
  const [leftDepth, rightDepth, similarity, chance, z, calibrated] = cellNumbers(set, matrix, pair, i, j);
  const matched = pair && mapOf(set, pair, "left")[i];
  const rows = [
    [`layer ${i + 1}`, set.left[state.left], `depth ${leftDepth}`],
    [`layer ${j + 1}`, set.right[state.right], `depth ${rightDepth}`],
  ];
  const list = element("dl", {},
    element("dt", {}, "similarity"), element("dd", {id: "cell-similarity"}, similarity));
  if (matrix.chance !== null) {
    list.append(element("dt", {}, "chance"), element("dd", {id: "cell-chance"}, chance),
      element("dt", {}, "z"), element("dd", {id: "cell-z"}, `${z}${set.ks[state.k].sds ? "" : " (by the paper's null model)"}`),
      element("dt", {}, "calibrated"), element("dd", {id: "cell-calibrated"}, calibrated));
  }
  if (matched) {
    list.append(element("dt", {}, `layer ${i + 1} corresponds to`), element("dd", {}, matchedWords(matched)));
  }
  fill(byId("cell-numbers"),
    ...rows.map(([layer, name, depth]) => element("div", {}, element("strong", {}, layer), " of ", element("bdi", {}, name), `, ${depth}`)),
    list);
  if (matrix.chance !== null) {
    byId("cell-numbers").append(element("button", {type: "button", onclick: () => byId("texts").scrollIntoView()}, "The texts behind this cell"));
  }
}

function matchedWords(matched) {
  const run = matched.first === matched.last ? `layer ${matched.first}` : `layers ${matched.first} to ${matched.last}`;
  return Number.isNaN(matched.low) ? run : `${run} (band ${number(matched.low, 1)} to ${number(matched.high, 1)})`;
}

function walkCells(event) {
  const steps = {ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1]};
  if (event.key === "Enter") byId("texts").scrollIntoView();
  if (!(event.key in steps)) return;
  event.preventDefault();
  const {nLeft, nRight} = pairView.matrix;
  const [i, j] = latest().cell.map((layer, side) => layer + steps[event.key][side]);
  if (i >= 0 && j >= 0 && i < nLeft && j < nRight) change({cell: [i, j]});
}

function fillPairNumbers(set, pair, names) {
  if (!pair) return fill(byId("pair-numbers"));
  const {profile} = pair;
  const student = pair.adjusted.student || {};
  const level = percent(payload.level);
  const rows = [
    ["on the generalized diagonal", estimate(profile.on_mean)],
    ["off it", estimate(profile.off_mean)],
    ["on minus off", estimate(profile.on_minus_off)],
    ...(pair.p_shared === null ? [] : [["p if no layers shared neighbors beyond chance", sharedP(pair)]]),
    ...(pair.p_best === null || set.pairs.length < 2 ? [] : [["the same, over all pairs of models", pValue(pair.p_best)]]),
    ...(pair.p_depth === null ? [] : [["p if no ridge ran through all depths", pValue(pair.p_depth)]]),
    ["paper's t-test, Bonferroni", pValue(student.bonferroni)],
    ["departure from proportional depth (+: right deeper)", estimate(pair.swapped ? turned(pair.departure) : pair.departure)],
    ["disagreement of map and best matches", number(pair.match_disagreement)],
  ];
  const list = element("dl", {id: "pair-list"}, ...rows.flatMap(([name, said]) => [element("dt", {}, name), element("dd", {}, said)]));
  const notes = [`${set.ks[set.main].said}. ${set.from_texts ? `In brackets: ${level} intervals from resampled texts.` : "From the matrix alone: no intervals."}`];
  if (pair.match_disagreement > payload.trusted_disagreement) {
    notes.push(` The depth map disagrees with the most similar layers by more than ${payload.trusted_disagreement} of the depth: do not trust it.`);
  }
  for (const [side, first, last, slope, support] of pair.segments) {
    const place = (side === "left") === !pair.swapped ? 0 : 1;
    const name = names[0] === names[1] ? `${names[place]} (${["up", "right"][place]})` : names[place];
    notes.push(` Compressed: layers ${first} to ${last} of ${name} (slope ${number(slope, 2)}${support === null ? "" : `, found again in ${Math.round(support * 100)} % of resamples`}).`);
  }
  fill(byId("pair-numbers"), list, element("p", {class: "hint"}, ...notes));
}

const turned = ([value, low, high]) => [-value, high === null ? null : -high, low === null ? null : -low];
