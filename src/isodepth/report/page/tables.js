// The sortable table of tests, the table over models, method and provenance, downloads.

const tableView = {sort: "difference", descending: true};

const COLUMNS = [
  {id: "left", name: "left model", of: (row) => row.left},
  {id: "right", name: "right model", of: (row) => row.right},
  {id: "verdict", name: "verdict", of: (row) => row.pair.verdict || "–"},
  {id: "on", name: "on", of: (row) => part(row, "on_mean"), say: (row) => estimate(row.pair.profile.on_mean)},
  {id: "off", name: "off", of: (row) => part(row, "off_mean"), say: (row) => estimate(row.pair.profile.off_mean)},
  {id: "difference", name: "on − off", of: (row) => part(row, "on_minus_off"), say: (row) => estimate(row.pair.profile.on_minus_off)},
  {id: "t", name: "paper's t-test, Bonferroni", of: (row) => (row.pair.adjusted.student || {}).bonferroni ?? null, say: (row) => pValue((row.pair.adjusted.student || {}).bonferroni)},
  {id: "shared", name: "p: nothing shared", of: (row) => row.pair.p_shared, say: (row) => sharedP(row.pair)},
  {id: "depth", name: "p: no ridge through depth", of: (row) => row.pair.p_depth, say: (row) => pValue(row.pair.p_depth)},
  {id: "weakest", name: "weakest part", of: (row) => part(row, "weakest_part"), say: (row) => estimate(row.pair.profile.weakest_part)},
  {id: "departure", name: "departure, either way", of: (row) => row.pair.departure_absolute[0], say: (row) => estimate(row.pair.departure_absolute)},
  {id: "disagreement", name: "map disagrees", of: (row) => row.pair.match_disagreement, say: (row) => number(row.pair.match_disagreement)},
];

const part = (row, name) => (row.pair.profile[name] ? row.pair.profile[name][0] : null);

function drawTable(set) {
  const wanted = state.filter.trim().toLowerCase();
  const all = set.pairs.map((pair) => ({pair, left: set.left[pair.left], right: set.right[pair.right]}));
  // of measures without verdicts some columns would be empty
  const columns = COLUMNS.filter((column) => all.some((row) => ![null, "–"].includes(column.of(row))));
  const rows = all.filter((row) => [row.left, row.right, row.pair.verdict || ""].some((one) => one.toLowerCase().includes(wanted)));
  const by = COLUMNS.find((column) => column.id === tableView.sort);
  const sign = tableView.descending ? -1 : 1;
  rows.sort((one, other) => {
    const [a, b] = [by.of(one), by.of(other)];
    if (a === null || b === null) return (a === null) - (b === null);  // what is missing stands last
    return sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  });
  const head = columns.map((column) => element("th", {
    scope: "col", class: column.say ? "number" : null,
    "aria-sort": column.id === tableView.sort ? (tableView.descending ? "descending" : "ascending") : "none",
  }, element("button", {type: "button", onclick: () => sortBy(set, column.id)}, column.name)));
  const body = rows.map((row) => element("tr", {
    class: isChosenPair(set, row.pair) ? "chosen" : null, onclick: () => change({left: row.pair.left, right: row.pair.right}),
  }, ...columns.map((column) => (column.id === "left"
    ? element("td", {}, element("button", {type: "button"}, element("bdi", {}, row.left)))
    : element("td", {class: column.say ? "number" : null}, element("bdi", {}, column.say ? column.say(row) : column.of(row)))))));
  fill(byId("table"), element("caption", {class: "hint"}, `${rows.length} of ${set.pairs.length} pairs, ${set.ks[set.main].said}`),
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body));
}

function sortBy(set, id) {
  tableView.descending = tableView.sort === id ? !tableView.descending : !["left", "right", "verdict"].includes(id);
  tableView.sort = id;
  drawTable(set);
  byId("table").querySelector("th:not([aria-sort=none]) button").focus();
}

function drawZoo(set) {
  const names = Object.keys(set.zoo);
  const place = byId("zoo");
  if (!names.length) return fill(place, element("tbody", {}, element("tr", {}, element("td", {}, "Too few models for a test over models."))));
  const head = ["part", "mean over pairs", "p if it were not above 0", "pairs", "left out in turn"];
  const said = Object.assign({}, ...Object.values(payload.profile_scales));
  const rows = names.map((name) => {
    const zoo = set.zoo[name];
    return element("tr", {}, element("td", {title: payload.profile_parts[name] || ""}, said[name] || name), element("td", {class: "number"}, estimate(zoo.mean)),
      element("td", {class: "number"}, pValue(zoo.p_value)), element("td", {class: "number"}, String(zoo.n_pairs)),
      element("td", {}, `${zoo.n_units} ${zoo.resampled || ""}`));
  });
  fill(place, element("caption", {class: "hint"}, `${set.ks[set.main].said}`), element("thead", {}, element("tr", {}, ...head.map((name, place) => element("th", {scope: "col", class: place > 0 && place < 4 ? "number" : null}, name)))), element("tbody", {}, ...rows));
}

function drawAbout() {
  fill(byId("method"), ...payload.method.map((words) => element("p", {}, words)));
  fill(byId("caveats"), ...payload.caveats.map((words) => element("li", {}, words)));
  fill(byId("provenance"), element("tbody", {}, ...payload.provenance.map(([key, value]) => element("tr", {}, element("th", {scope: "row"}, key), element("td", {}, element("bdi", {}, value))))));
}

/** Return a number of neighbors as tables have it: nothing where the measure takes none. */
const counted = (k) => k || null;
const mainK = (set) => counted(set.ks[set.main].k);

const DOWNLOADS = {
  pairs: ["tests of all pairs", (set) => [["left", "right", "verdict", "basis", "k", "p_shared", "p_depth", "p_student", "p_student_bonferroni", "departure", "departure_absolute", "match_disagreement"],
    ...set.pairs.map((pair) => [set.left[pair.left], set.right[pair.right], pair.verdict, pair.basis, mainK(set), pair.p_shared, pair.p_depth,
      pair.tests.student ? pair.tests.student[1] : null, (pair.adjusted.student || {}).bonferroni ?? null, pair.departure[0], pair.departure_absolute[0], pair.match_disagreement])]],
  profile: ["profiles of all pairs", (set) => [["left", "right", "k", "part", "estimate", "low", "high"],
    ...set.pairs.flatMap((pair) => Object.entries(pair.profile).map(([name, found]) => [set.left[pair.left], set.right[pair.right], mainK(set), name, ...found]))]],
  layers: ["layer pairs of all pairs", (set) => [LAYER_COLUMNS, ...set.pairs.flatMap((pair) => layerRows(set, pair.left, pair.right))]],
  matrix: ["this pair's matrix", (set) => [LAYER_COLUMNS, ...layerRows(set, state.left, state.right)]],
  map: ["this pair's depth map", (set) => mapTable(set)],
};
const LAYER_COLUMNS = ["left", "right", "k", "left_layer", "right_layer", "left_depth", "right_depth", "similarity", "chance", "z", "calibrated"];

function layerRows(set, left, right) {
  const matrix = matrixOf(set, state.k, left, right);
  const rows = [];
  for (let i = 0; i < matrix.nLeft; i += 1) {
    for (let j = 0; j < matrix.nRight; j += 1) {
      rows.push([set.left[left], set.right[right], counted(matrix.k), i + 1, j + 1, (i + 1) / matrix.nLeft, (j + 1) / matrix.nRight,
        matrix.raw(i, j), matrix.chance, matrix.z(i, j), matrix.calibrated(i, j)]);
    }
  }
  return rows;
}

function mapTable(set) {
  const pair = pairOf(set, state.left, state.right);
  const names = [set.left[state.left], set.right[state.right]];
  const rows = pair ? ["left", "right"].flatMap((side, place) => mapOf(set, pair, side).map((one, layer) => [
    names[place], names[1 - place], side, mainK(set), layer + 1, ...MAP_COLUMNS.map((column) => one[column])])) : [];
  return [["from", "to", "from_side", "k", "from_layer", "to_first", "to_last", "to_layer", "low", "high", "simultaneous_low", "simultaneous_high", "similarity", "margin", "slope"], ...rows];
}

function csv(rows) {
  const field = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    const text = String(value);
    // a spreadsheet would run what begins like a formula
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  return `${rows.map((row) => row.map(field).join(",")).join("\n")}\n`;
}

function drawDownloads(set) {
  fill(byId("downloads"), ...Object.entries(DOWNLOADS).map(([id, [name, rows]]) => element("button", {
    type: "button", "data-download": id, onclick: () => download(`${fileName(set.name)}-${id}.csv`, csv(rows(set))),
  }, `${name} (CSV)`)));
}

const fileName = (name) => name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40) || "texts";

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], {type: "text/csv;charset=utf-8"}));
  const link = element("a", {href: address, download: name});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
