// Views over all pairs: most similar layers, on against off, mean matrix, profile, tree.

const MARKS = {"depth-matched": ["circle", "#009e73"], "shared, not depth-matched": ["square", "#d55e00"],
  undecided: ["diamond", "#e69f00"], "not shared": ["x", "#8a8a8a"]};
const MANY = 40;
const NO_VERDICT = ["circle", "#0072b2"];

async function drawViews(set) {
  drawMatches(set);
  drawContrast(set);
  const square = drawSquare(set);
  drawProfile(set);
  drawTree(set);
  await square;
}

/** Return both directions of every pair: depths, and the most similar layer of each. */
function directions(set) {
  return set.pairs.flatMap((pair) => {
    const matrix = matrixOf(set, state.k, pair.left, pair.right);
    const isChosen = isChosenPair(set, pair);
    return ["left", "right"].map((side) => {
      const best = bestMatches(matrix, side);
      const [n, m] = side === "left" ? [matrix.nLeft, matrix.nRight] : [matrix.nRight, matrix.nLeft];
      const [from, to] = side === "left" ? [set.left[pair.left], set.right[pair.right]] : [set.right[pair.right], set.left[pair.left]];
      return {pair, from, to, isChosen, side, depths: best.map((_, i) => (i + 1) / n), matched: best.map((one) => (one.layer + 1) / m),
        similarity: best.map((one) => one.similarity)};
    });
  });
}

function drawMatches(set) {
  const all = directions(set);
  const isMany = all.length > MANY;
  const kinds = [["match-depth", "matched", "depth of the most similar layer"], ["match-similarity", "similarity", "its similarity"]];
  for (const [id, quantity, name] of kinds) {
    const joined = {x: [], y: [], customdata: []};
    for (const one of all) {
      joined.x.push(...one.depths, null);
      joined.y.push(...one[quantity], null);
      joined.customdata.push(...one.depths.map(() => one.pair.place ?? set.pairs.indexOf(one.pair)), null);
    }
    const reach = quantity === "matched" ? [0, 1] : reachOf(all.flatMap((one) => one.similarity));
    const traces = isMany ? [density(all, quantity, reach)] : [];
    traces.push({type: "scatter", mode: "lines", ...joined, hoverinfo: "none", line: {color: color("muted"), width: isMany ? 0.5 : 1}, opacity: isMany ? 0.12 : 0.5});
    if (isMany) traces.push(middle(all, quantity));
    for (const one of all.filter((each) => each.isChosen)) {
      traces.push({type: "scatter", mode: "lines+markers", x: one.depths, y: one[quantity], marker: {size: 4},
        line: {color: color(one.side), width: 2}, meta: [plotText(one.from), plotText(one.to)],
        hovertemplate: `depth %{x:.2f} of %{meta[0]}<br>${name} in %{meta[1]}: %{y:.3f}<extra></extra>`});
    }
    const isDepth = quantity === "matched";
    const reference = isDepth ? {y0: 0, y1: 1} : {y0: set.ks[state.k].chance, y1: set.ks[state.k].chance};
    plot(id, traces, {hovermode: "closest", axes: {
      xaxis: {title: {text: "depth: layer / number of layers"}, range: [0, 1.02]},
      yaxis: {title: {text: isDepth ? "depth of its most similar layer" : "similarity"}, range: reach.map((end) => 1.02 * end)},
    }, shapes: reference.y0 === null ? [] : [{type: "line", x0: 0, x1: 1, ...reference, line: {color: color("ink"), width: 1, dash: "dot"}}]});
    onPoint(id, (point) => choosePlace(set, point.customdata));
  }
  const many = isMany ? " Shaded: the share of lines that pass at each depth. Strong line: their median." : "";
  const k = `${set.ks[state.k].said}`;
  fill(byId("depth-caption"), `Where in the other model the most similar layer lies, one line for each pair and direction (${all.length}; ${k}). Dotted: equal relative depth.${many}`);
  fill(byId("similarity-caption"), `How similar that layer is (${k}).${set.ks[state.k].chance === null ? "" : " Dotted: chance."}${many}`);
}

/** Return where an axis of similarities begins and ends: at 0, or the lowest below it, and at the highest. */
const reachOf = (values) => [Math.min(0, ...values), Math.max(0.01, ...values)];

const at = (one, quantity, depth) => one[quantity][Math.max(0, Math.ceil(depth * one.depths.length - 1e-9) - 1)];

/** Return how many of the lines pass where, as shades: hundreds of lines on each other show no more. */
function density(all, quantity, [lowest, highest]) {
  const [across, up] = [60, 48];
  const height = (highest - lowest) / up;
  const counts = Array.from({length: up}, () => new Array(across).fill(0));
  for (const one of all) {
    for (let column = 0; column < across; column += 1) {
      const row = Math.min(up - 1, Math.floor((at(one, quantity, (column + 0.5) / across) - lowest) / height));
      counts[row][column] += 1 / all.length;
    }
  }
  const [from, to] = [color("page"), color("muted")];
  return {type: "heatmap", z: counts, x0: 0.5 / across, dx: 1 / across, y0: lowest + 0.5 * height, dy: height, zmin: 0, zmax: 0.35,
    colorscale: [[0, from], [1, to]], showscale: false, hoverinfo: "skip"};
}

/** Return the median of all lines at common depths. */
function middle(all, quantity) {
  const grid = Array.from({length: 41}, (_, step) => step / 40);
  const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  return {type: "scatter", mode: "lines", x: grid, y: grid.map((depth) => median(all.map((one) => at(one, quantity, depth)))), hoverinfo: "skip", line: {color: color("ink"), width: 2}};
}

function choosePlace(set, place) {
  const pair = set.pairs[place];
  if (pair) change({left: pair.left, right: pair.right});
}

const isChosenPair = (set, pair) => (pair.left === state.left && pair.right === state.right)
  || (set.mirrored && pair.left === state.right && pair.right === state.left);

function drawContrast(set) {
  const known = set.pairs.map((pair, place) => ({pair, place})).filter(({pair}) => pair.profile.on_mean);
  const verdicts = [...new Set(known.map(({pair}) => pair.verdict))];
  const traces = verdicts.map((verdict) => {
    const those = known.filter(({pair}) => pair.verdict === verdict);
    const [symbol, shade] = MARKS[verdict] || NO_VERDICT;
    const reach = (name) => ({type: "data", symmetric: false, thickness: 0.7, width: 0, color: shade,
      array: those.map(({pair}) => (pair.profile[name][2] ?? pair.profile[name][0]) - pair.profile[name][0]),
      arrayminus: those.map(({pair}) => pair.profile[name][0] - (pair.profile[name][1] ?? pair.profile[name][0]))});
    return {type: "scatter", mode: "markers", name: verdict || "no verdict", x: those.map(({pair}) => pair.profile.off_mean[0]),
      y: those.map(({pair}) => pair.profile.on_mean[0]), customdata: those.map(({place}) => place),
      text: those.map(({pair}) => `${plotText(set.left[pair.left])} × ${plotText(set.right[pair.right])}`),
      error_x: reach("off_mean"), error_y: reach("on_mean"),
      marker: {symbol, color: shade, size: 7},
      hovertemplate: "%{text}<br>off %{x:.3f}, on %{y:.3f}<extra></extra>"};
  });
  const chosen = known.filter(({pair}) => isChosenPair(set, pair));
  // once more over all others: among hundreds its own mark is hidden
  traces.push({type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false, x: chosen.map(({pair}) => pair.profile.off_mean[0]),
    y: chosen.map(({pair}) => pair.profile.on_mean[0]), marker: {symbol: "circle-open", size: 16, color: color("ink"), line: {width: 2}}});
  const said = known.flatMap(({pair: {profile}}) => [...profile.on_mean, ...profile.off_mean]).filter((one) => one !== null);
  const [least, most] = reachOf(said).map((end) => 1.06 * end);
  plot("contrast", traces, {showlegend: true, legend: {orientation: "h", y: 1.14, x: 0}, margin: {l: 55, r: 15, t: 34, b: 45}, hovermode: "closest", axes: {
    xaxis: {title: {text: "mean off the generalized diagonal"}, range: [least, most]},
    yaxis: {title: {text: "mean on it"}, range: [least, most]},
  }, shapes: [{type: "line", x0: least, y0: least, x1: most, y1: most, line: {color: color("ink"), width: 1, dash: "dot"}}]});
  onPoint("contrast", (point) => choosePlace(set, point.customdata));
  const above = known.filter(({pair}) => pair.profile.on_mean[0] > pair.profile.off_mean[0]).length;
  fill(byId("contrast-caption"), `Mean similarity on the generalized diagonal against off it (${set.ks[set.main].said}): ${above} of ${known.length} pairs lie above the dotted line of equality.`);
}

async function drawSquare(set) {
  const square = set.mean_square;
  byId("square").parentElement.hidden = square === null;
  if (square === null) return;
  const n = square.n_bins;
  const numbers = await unpack(square.values);
  const rows = Array.from({length: n}, (_, i) => Array.from(numbers.subarray(i * n, (i + 1) * n)));
  const depths = Array.from({length: n}, (_, i) => (i + 0.5) / n);
  const [lowest, highest] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
  plot("square", [{type: "heatmap", x: depths, y: depths, z: rows, zmin: lowest, zmax: highest, colorscale: plotScale("raw"),
    colorbar: {title: {text: "mean similarity", side: "right"}, thickness: 12, outlinewidth: 0},
    hovertemplate: "depths %{y:.2f} and %{x:.2f}: %{z:.3f}<extra></extra>"}], {margin: {l: 55, r: 10, t: 10, b: 45}, axes: {
    xaxis: {title: {text: "depth of the right model"}, range: [0, 1], showgrid: false}, yaxis: {title: {text: "depth of the left model"}, range: [0, 1], showgrid: false},
  }});
  fill(byId("square-caption"), `The mean of ${square.n_matrices} matrices on a square of relative depths${square.both_orders ? ", each in both orders" : ""} (${set.ks[set.main].said}; colors ${number(lowest)} to ${number(highest)}).`);
}

function drawProfile(set) {
  const chosen = pairOf(set, state.left, state.right);
  const isThere = (part) => set.pairs.some((pair) => pair.profile[part]);
  const scales = Object.entries(payload.profile_scales)
    .map(([scale, names]) => [scale, Object.entries(names).filter(([part]) => isThere(part)).map(([part, name]) => [part, broken(name)]).reverse()])
    .filter(([, parts]) => parts.length);
  // one axis a scale: what is measured differently must not look comparable
  const rows = scales.reduce((sum, [, parts]) => sum + parts.length + 2.4, 0);
  const [axes, annotations, traces] = [{}, [], []];
  let top = 1;
  scales.forEach(([scale, parts], place) => {
    const suffix = place ? String(place + 1) : "";
    const height = parts.length / rows;
    const names = parts.map(([, name]) => name);
    axes[`xaxis${suffix}`] = {anchor: `y${suffix}`, zeroline: true, zerolinecolor: color("ink"), zerolinewidth: 1, rangemode: "tozero"};
    axes[`yaxis${suffix}`] = {anchor: `x${suffix}`, domain: [top - height - 1 / rows, top - 1 / rows], type: "category", categoryorder: "array",
      categoryarray: names, dtick: 1, tickfont: {size: isNarrow() ? 9 : 11}, range: [-0.6, names.length - 0.4]};
    annotations.push({text: plotText(scale), xref: "paper", yref: "paper", x: 1, y: top - 0.75 / rows, xanchor: "right", yanchor: "middle", showarrow: false, font: {color: color("muted")}});
    const on = {xaxis: `x${suffix}`, yaxis: `y${suffix}`};
    for (const trace of set.pairs.length > MANY ? ranges(set, parts) : [ticks(set, parts)]) traces.push({...trace, ...on});
    if (chosen) traces.push({...estimates(chosen, parts), ...on});
    top -= (parts.length + 2.4) / rows;
  });
  byId("profile").style.height = `${60 + (isNarrow() ? 27 : 21) * rows}px`;
  plot("profile", traces, {hovermode: "closest", margin: {l: 60, r: 15, t: 5, b: 25}, axes, annotations});
  fill(byId("profile-caption"), `In which respects matrices are diagonal (${set.ks[set.main].said}): the chosen pair${set.from_texts ? " with its intervals" : ""}, and ${set.pairs.length > MANY ? "where the middle 50 % (thick) and 90 % (thin) of all pairs lie" : "all pairs as ticks"}. Each scale has its own axis. Point at a part for what it is.`,
    ...(chosen && chosen.swapped ? [" Of the chosen pair, left is here ", element("bdi", {}, set.left[chosen.left]), ", right ", element("bdi", {}, set.right[chosen.right]), "."] : []));
}

const isNarrow = () => innerWidth <= 560;

/** Break a name in two lines where there is little room. */
function broken(name) {
  if (!isNarrow() || name.length < 24) return name;
  const space = name.indexOf(" ", Math.floor(name.length / 2) - 3);
  return space < 0 ? name : `${name.slice(0, space)}<br>${name.slice(space + 1)}`;
}

/** Return the chosen pair's estimates of some parts, with their intervals. */
function estimates(pair, parts) {
  const own = parts.filter(([part]) => pair.profile[part]);
  const found = own.map(([part]) => pair.profile[part]);
  return {type: "scatter", mode: "markers", x: found.map((one) => one[0]), y: own.map(([, name]) => name), marker: {size: 9, color: color("accent")},
    customdata: own.map(([part], place) => [estimate(found[place]), plotText(payload.profile_parts[part])]),
    error_x: {type: "data", symmetric: false, color: color("accent"), thickness: 1.6, width: 4,
      array: found.map((one) => (one[2] ?? one[0]) - one[0]), arrayminus: found.map((one) => one[0] - (one[1] ?? one[0]))},
    hovertemplate: "%{y} %{customdata[0]}<br>%{customdata[1]}<extra></extra>"};
}

/** Return a tick for every pair and part. */
function ticks(set, parts) {
  const own = parts.flatMap(([part, name]) => set.pairs.filter((pair) => pair.profile[part]).map((pair) => [pair, part, name]));
  return {type: "scatter", mode: "markers", x: own.map(([pair, part]) => pair.profile[part][0]), y: own.map(([, , name]) => name),
    text: own.map(([pair]) => `${plotText(set.left[pair.left])} × ${plotText(set.right[pair.right])}`),
    marker: {symbol: "line-ns-open", size: 9, color: color("muted"), opacity: 0.7}, hovertemplate: "%{text}<br>%{y} %{x:.3f}<extra></extra>"};
}

/** Return where the middle 90 % and 50 % of many pairs lie, for every part. */
function ranges(set, parts) {
  const sorted = parts.map(([part]) => set.pairs.map((pair) => pair.profile[part]?.[0]).filter((one) => one !== undefined).sort((a, b) => a - b));
  const quantile = (values, share) => values[Math.round(share * (values.length - 1))];
  return [[0.05, 0.95, 2], [0.25, 0.75, 6]].map(([low, high, width]) => ({
    type: "scatter", mode: "lines", hoverinfo: "skip", line: {color: color("muted"), width}, opacity: 0.6,
    x: sorted.flatMap((values) => [quantile(values, low), quantile(values, high), null]), y: parts.flatMap(([, name]) => [name, name, null]),
  }));
}

function drawTree(set) {
  const {tree} = set;
  byId("tree-figure").hidden = tree === null;
  if (tree === null) return;
  const n = tree.models.length;
  const spot = tree.models.map((model) => ({x: 0, y: tree.order.indexOf(model)}));
  const [x, y, supports] = [[], [], {x: [], y: [], text: []}];
  tree.linkage.forEach(([a, b, height], merge) => {
    const [one, other] = [spot[a], spot[b]];
    x.push(one.x, height, height, other.x, null);
    y.push(one.y, one.y, other.y, other.y, null);
    spot.push({x: height, y: (one.y + other.y) / 2});
    const support = tree.support[merge];
    if (support !== null && merge < tree.linkage.length - 1) {
      supports.x.push(height);
      supports.y.push((one.y + other.y) / 2);
      supports.text.push(`${Math.round(support * 100)} %`);
    }
  });
  byId("tree").style.height = `${90 + 24 * n}px`;
  plot("tree", [{type: "scatter", mode: "lines", x, y, hoverinfo: "skip", line: {color: color("accent"), width: 1.6}},
    {type: "scatter", mode: "text", ...supports, textposition: "top right", hoverinfo: "skip", textfont: {size: 10, color: color("muted")}}], {axes: {
    xaxis: {title: {text: "distance"}, rangemode: "tozero"},
    yaxis: {tickvals: tree.order.map((_, place) => place), ticktext: tree.order.map((label) => plotText(shortened(label, isNarrow() ? 18 : 34))), showgrid: false, zeroline: false, range: [-0.6, n - 0.4]},
  }, margin: {l: 60, r: 40, t: 10, b: 45}});
  const share = tree.support.some((one) => one !== null) ? " Beside a branch: in how many resamples of the texts these models form a group." : "";
  fill(byId("tree-caption"), `Models clustered by how much their layers share at corresponding depths (${set.ks[set.main].said}).${share}`);
}
