// What the payload holds, by set, number of neighbors, pair of models and cell. Layers count from 0 here.

let payload = null;
const MAP_COLUMNS = ["first", "last", "layer", "low", "high", "simultaneousLow", "simultaneousHigh",
  "similarity", "margin", "slope"];
const opened = new Map();

/** Return a set with its arrays unpacked and its blocks and pairs indexed. */
async function openSet(number) {
  if (!opened.has(number)) opened.set(number, open(payload.sets[number]));
  return opened.get(number);
}

async function open(set) {
  const starts = [];
  let total = 0;
  for (const [left, right] of set.blocks) {
    starts.push(total);
    total += set.left_layers[left] * set.right_layers[right];
  }
  const ks = await Promise.all(set.ks.map(async (one) => ({
    ...one,
    numbers: await unpack(one.values),
    sds: one.sd && await unpack(one.sd),
  })));
  const blocks = new Map(set.blocks.map(([left, right], place) => [`${left} ${right}`, place]));
  const pairs = new Map(set.pairs.map((pair, place) => [`${pair.left} ${pair.right}`, place]));
  const rows = [];
  const errorStarts = [];
  let row = 0;
  let cell = 0;
  for (const pair of set.pairs) {
    const [nLeft, nRight] = [set.left_layers[pair.left], set.right_layers[pair.right]];
    rows.push({left: row, right: row + nLeft});
    errorStarts.push(cell);
    row += nLeft + nRight;
    cell += nLeft * nRight;
  }
  const maps = set.maps && await unpack(set.maps);
  const errors = set.errors && await unpack(set.errors);
  return {...set, starts, ks, blockOf: blocks, pairOf: pairs, mapRows: rows, errorStarts, mapNumbers: maps, errorNumbers: errors};
}

/** Return a pair's matrix, the left model's layers down: similarity, chance and sd of every cell. */
function matrixOf(set, kPlace, left, right) {
  const k = set.ks[kPlace];
  let block = set.blockOf.get(`${left} ${right}`);
  const swapped = block === undefined && set.mirrored;
  if (swapped) block = set.blockOf.get(`${right} ${left}`);
  if (block === undefined) return null;
  const [nLeft, nRight] = [set.left_layers[left], set.right_layers[right]];
  const start = set.starts[block];
  const at = (i, j) => start + (swapped ? j * nLeft + i : i * nRight + j);
  const scale = k.scale || 1;
  const value = (i, j) => k.numbers[at(i, j)] / scale;
  const sd = (i, j) => (k.sds ? k.sds[at(i, j)] : k.null_sd);
  const chance = k.chance;
  const z = (i, j) => {
    if (chance === null) return NaN;
    return sd(i, j) > 0 ? (value(i, j) - chance) / sd(i, j) : 0;
  };
  const calibrated = (i, j) => (chance === null ? NaN : (value(i, j) - chance) / (1 - chance));
  return {nLeft, nRight, chance, raw: value, sd, z, calibrated, k: k.k};
}

/** Return the statistics of two models, seen from the left one; null for a model with itself. */
function pairOf(set, left, right) {
  let place = set.pairOf.get(`${left} ${right}`);
  const swapped = place === undefined && set.mirrored;
  if (swapped) place = set.pairOf.get(`${right} ${left}`);
  return place === undefined ? null : {...set.pairs[place], place, swapped};
}

/** Return what each layer of one side of a pair is matched with: objects by `MAP_COLUMNS`. */
function mapOf(set, pair, side) {
  if (!set.mapNumbers) return [];
  const stored = pair.swapped ? (side === "left" ? "right" : "left") : side;
  const nLayers = stored === "left" ? set.left_layers[pair.left] : set.right_layers[pair.right];
  const first = set.mapRows[pair.place][stored];
  const numbers = (row) => MAP_COLUMNS.map((name, column) => [name, set.mapNumbers[(first + row) * MAP_COLUMNS.length + column]]);
  return Array.from({length: nLayers}, (_, row) => Object.fromEntries(numbers(row)));
}

/** Return the standard error of a cell of a pair's matrix at the main k, or null. */
function errorOf(set, pair, i, j) {
  if (!set.errorNumbers) return null;
  const nRight = set.right_layers[pair.right];
  const [row, column] = pair.swapped ? [j, i] : [i, j];
  return set.errorNumbers[set.errorStarts[pair.place] + row * nRight + column];
}

/** Return whether a cell lies on the generalized diagonal (paper, section 4.1). */
function onDiagonal(i, j, nLeft, nRight) {
  const slack = nLeft - nRight;
  return i - j >= Math.min(0, slack) && i - j <= Math.max(0, slack);
}

/** Return for each layer of one side its most similar layer of the other, ties to the lower. */
function bestMatches(matrix, side) {
  const [n, m] = side === "left" ? [matrix.nLeft, matrix.nRight] : [matrix.nRight, matrix.nLeft];
  const value = side === "left" ? matrix.raw : (i, j) => matrix.raw(j, i);
  return Array.from({length: n}, (_, i) => {
    let best = 0;
    for (let j = 1; j < m; j += 1) if (value(i, j) > value(i, best)) best = j;
    return {layer: best, similarity: value(i, best)};
  });
}

/** Return where colors begin and end: at 0, or the lowest similarity below it, and at the highest; z on both sides of 0. */
function endsOf(matrices, scale) {
  let [lowest, highest] = [0, -Infinity];
  for (const matrix of matrices) {
    for (let i = 0; i < matrix.nLeft; i += 1) {
      for (let j = 0; j < matrix.nRight; j += 1) {
        const value = matrix[scale](i, j);
        if (value < lowest) lowest = value;
        if (value > highest) highest = value;
      }
    }
  }
  const size = Math.max(-lowest, highest) || 1;
  if (scale === "z") return [-size, size];
  if (scale === "calibrated") lowest = 0;  // below it lies what is less than chance
  if (highest > lowest) return [lowest, highest];
  return [lowest, lowest < 0 ? 0 : 1];
}

/** Return where colors of all pairs of different models begin and end. */
const endsOfPairs = (set, kPlace, scale) => endsOf(set.pairs.map((pair) => matrixOf(set, kPlace, pair.left, pair.right)), scale);

/** Return the ids of a model's nearest neighbors, or null where they are not embedded. */
async function neighborsOf(set, side, label) {
  if (!set.explain) return null;
  const packs = (side === "right" && set.explain.right) || set.explain.left;
  if (!Object.hasOwn(packs, label)) return null;
  return unpack(packs[label]);
}

/** Return which texts share how many of their k neighbors at two layers, and how many can. */
function overlaps(set, leftIds, rightIds, leftLayer, rightLayer, k) {
  const [n, kept] = [set.n_texts, set.explain.k];
  const seen = new Int32Array(n).fill(-1);
  const counts = new Uint16Array(n);
  for (let text = 0; text < n; text += 1) {
    const left = (leftLayer * n + text) * kept;
    const right = (rightLayer * n + text) * kept;
    for (let rank = 0; rank < k; rank += 1) seen[leftIds[left + rank]] = text;
    for (let rank = 0; rank < k; rank += 1) if (seen[rightIds[right + rank]] === text) counts[text] += 1;
  }
  return counts;
}
