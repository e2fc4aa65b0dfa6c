// The array of all pairs' matrices, on a canvas: thousands of cells a block, hundreds of blocks.

const LEAST_BLOCK = 15;
const MOST_WIDTH = 980;
const arrayView = {};

/** Return the order of a side's models. */
function orderOf(set, side) {
  const given = Array.from(set[side].keys());
  if (state.order !== "tree") return given;
  return (side === "right" && !set.symmetric ? set.right_order : set.order) || given;
}

/** Return where each model's blocks begin and end, in pixels, the first model at 0. */
function spans(order, layers, unit) {
  let at = 0;
  return order.map((model) => {
    const size = state.sizes === "equal" ? unit : layers[model] * unit;
    at += size;
    return {model, from: at - size, to: at};
  });
}

function drawOverview(set) {
  const place = byId("array");
  const [rows, columns] = [orderOf(set, "left"), orderOf(set, "right")];
  const longest = Math.max(...[...set.left, ...set.right].map((label) => Array.from(label).length));
  const margin = Math.min(190, place.clientWidth * 0.34, 16 + longest * 6.4);
  const sizeOf = (order, layers) => (state.sizes === "equal" ? order.length : order.reduce((sum, model) => sum + layers[model], 0));
  const [down, across] = [sizeOf(rows, set.left_layers), sizeOf(columns, set.right_layers)];
  const smallest = state.sizes === "equal" ? 1 : Math.min(...set.left_layers, ...set.right_layers);
  const room = Math.min(place.clientWidth - margin - 12, MOST_WIDTH);
  const fewest = LEAST_BLOCK / smallest;
  const most = (state.sizes === "equal" ? 260 : 9);
  const unit = Math.min(Math.max(room / across, fewest), most);
  const [width, height] = [margin + across * unit + 10, margin + down * unit + 6];
  const rowSpans = spans(rows, set.left_layers, unit);
  const columnSpans = spans(columns, set.right_layers, unit);
  const bottom = down * unit + 3;
  // layer 1 of the first model is at the bottom left
  const boxes = rowSpans.flatMap((row) => columnSpans.map((column) => ({
    left: row.model, right: column.model, x: margin + column.from, y: bottom - row.to,
    width: column.to - column.from, height: row.to - row.from,
  })));
  const ends = endsOfPairs(set, state.k, state.scale);
  Object.assign(arrayView, {set, boxes, rows, columns});
  const canvas = sheet("array-blocks", width, height);
  const pen = canvas.getContext("2d");
  const table = colorTable(state.scale);
  for (const box of boxes) {
    const matrix = matrixOf(set, state.k, box.left, box.right);
    const image = blockImage(matrix, ends, table);
    pen.imageSmoothingEnabled = box.height * devicePixelRatio < matrix.nLeft || box.width * devicePixelRatio < matrix.nRight;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, box.x, box.y, box.width, box.height);
  }
  drawFrames(pen, boxes);
  drawNames(pen, set, rowSpans, columnSpans, margin, bottom);
  const marks = sheet("array-marks", width, height);
  marks.style.position = "absolute";
  marks.style.left = "0";
  marks.style.top = "0";
  marks.style.pointerEvents = "none";
  canvas.setAttribute("tabindex", "0");
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", `Affinity matrices of all pairs of models on ${set.name}. Arrow keys choose a pair.`);
  canvas.onmousemove = (event) => showTip(boxAt(event), event);
  canvas.onmouseleave = () => showTip(null);
  canvas.onclick = (event) => choosePair(boxAt(event), true);
  canvas.onkeydown = walkPairs;
  fill(place, canvas, marks);
  markPair();
  describeScale(byId("array-scale"), state.scale, ends, set, "Colors of the array");
}

/** Return a canvas of a size in the page's pixels, as sharp as the screen. */
function sheet(id, width, height) {
  const canvas = element("canvas", {id});
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.getContext("2d").scale(devicePixelRatio, devicePixelRatio);
  return canvas;
}

/** Return one matrix as a canvas of a pixel a cell. */
function blockImage(matrix, [lowest, highest], table) {
  const {nLeft, nRight} = matrix;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [nRight, nLeft];
  const image = new ImageData(nRight, nLeft);
  const pixels = new Uint32Array(image.data.buffer);
  const value = matrix[state.scale];
  for (let i = 0; i < nLeft; i += 1) {
    for (let j = 0; j < nRight; j += 1) {
      const share = (value(i, j) - lowest) / (highest - lowest);
      pixels[(nLeft - 1 - i) * nRight + j] = table[Math.max(0, Math.min(255, Math.round(share * 255) || 0))];
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function drawFrames(pen, boxes) {
  pen.strokeStyle = color("page");
  pen.lineWidth = boxes.length > 100 ? 1 : 2;
  for (const box of boxes) pen.strokeRect(box.x, box.y, box.width, box.height);
}

function drawNames(pen, set, rows, columns, margin, bottom) {
  pen.fillStyle = color("ink");
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (const row of rows) pen.fillText(fitted(pen, set.left[row.model], margin - 10), margin - 6, bottom - (row.from + row.to) / 2);
  for (const column of columns) {
    pen.save();
    pen.translate(margin + (column.from + column.to) / 2, bottom + 6);
    pen.rotate(-Math.PI / 2);
    pen.fillText(fitted(pen, set.right[column.model], margin - 10), 0, 0);
    pen.restore();
  }
}

/** Return a name cut so that it fits a width, the end kept: names of a family differ there. */
function fitted(pen, name, width) {
  if (pen.measureText(name).width <= width) return name;
  const letters = Array.from(name);
  while (letters.length > 1 && pen.measureText(`…${letters.join("")}`).width > width) letters.shift();
  return `…${letters.join("")}`;
}

/** Draw a frame around the chosen pair. */
function markPair() {
  const marks = byId("array-marks");
  const pen = marks.getContext("2d");
  pen.clearRect(0, 0, marks.width, marks.height);
  const box = arrayView.boxes.find((one) => one.left === state.left && one.right === state.right);
  if (!box) return;
  for (const [style, width] of [["#000000", 5], ["#ffffff", 2.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.strokeRect(box.x, box.y, box.width, box.height);
  }
}

function boxAt(event) {
  return arrayView.boxes.find((box) => event.offsetX >= box.x && event.offsetX < box.x + box.width
    && event.offsetY >= box.y && event.offsetY < box.y + box.height) || null;
}

function choosePair(box, scrolls) {
  if (!box) return;
  change({left: box.left, right: box.right});
  if (scrolls) byId("pair").scrollIntoView();
}

function walkPairs(event) {
  const steps = {ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1]};
  if (event.key === "Enter") {
    byId("matrix").focus();
    byId("pair").scrollIntoView();
  }
  if (!(event.key in steps)) return;
  event.preventDefault();
  const [up, along] = steps[event.key];
  const next = (order, model, step) => order[Math.max(0, Math.min(order.length - 1, order.indexOf(model) + step))];
  const {left, right} = latest();
  change({left: next(arrayView.rows, left, up), right: next(arrayView.columns, right, along)});
}

const tip = element("div", {class: "tip", role: "status", hidden: true});
document.body.append(tip);

function showTip(box, event) {
  tip.hidden = !box;
  if (!box) return;
  const {set} = arrayView;
  const pair = pairOf(set, box.left, box.right);
  const profile = pair && pair.profile;
  const lines = [`${set.left[box.left]} (up) × ${set.right[box.right]} (right)`];
  if (!pair) lines.push("a model with itself");
  else {
    if (pair.verdict) lines.push(pair.verdict);
    if (profile.on_minus_off) lines.push(`on minus off the diagonal ${estimate(profile.on_minus_off)}`);
    lines.push(`highest similarity ${number(pair.highest[0])}`);
    if (state.k !== set.main) lines.push(`these numbers are of ${set.ks[set.main].said}, colors of ${set.ks[state.k].said}`);
  }
  tip.textContent = lines.join("\n");
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - 300)}px`;
  tip.style.top = `${event.clientY + 16}px`;
}

/** Say in words and colors what a color scale is. */
function describeScale(place, scale, [lowest, highest], set, whose) {
  const stops = stopsOf(scale).map((rgb) => `rgb(${rgb.join(",")})`).join(",");
  const digits = scale === "z" ? 1 : 3;
  const bar = element("span", {style: `display:inline-block;width:9rem;height:.8em;margin:0 .5rem;background:linear-gradient(90deg,${stops})`});
  const chance = set.ks[state.k].chance;
  const words = [` ${number(highest, digits)}, the highest ${scale === "z" ? "size " : ""}of ${set.symmetric ? "two different models" : "all pairs"}; the same in all blocks.`];
  if (scale === "raw" && chance !== null) words.push(` Chance is ${number(chance, 4)}.`);
  if (set.symmetric) words.push(" A model with itself is cut off at the end of the scale.");
  fill(place, `${whose}: ${SCALE_NAMES[scale]} ${number(lowest, digits)}`, bar, ...words);
}
