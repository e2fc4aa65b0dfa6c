// Elements, numbers in words, and how plots look. Strings from data only ever become text nodes.

const byId = (id) => document.getElementById(id);

/** Return a new element; children are nodes or strings. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Replace what an element holds. */
function fill(parent, ...children) {
  parent.replaceChildren(...children);
}

/** Write a number as people read it; a dash where there is none. */
function number(value, digits = 3) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", "−");
}

/** Write an estimate with its interval. */
function estimate(found, digits = 3) {
  if (!found) return "–";
  const [value, low, high] = found;
  return low === null || low === undefined ? number(value, digits)
    : `${number(value, digits)} [${number(low, digits)}, ${number(high, digits)}]`;
}

/** Write a p-value. */
function pValue(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "< 1e-300";
  return value < 0.001 ? value.toExponential(1) : value.toFixed(3);
}

/** Write the p-value of the first question; of a matrix alone it is told no lower than it is known. */
function sharedP(pair) {
  const said = pValue(pair.p_shared);
  return pair.basis === "matrix alone" && pair.p_shared === payload.least_p ? `< ${said}` : said;
}

/** Write a share as a percentage: 0.57 * 100 is not 57. */
const percent = (share) => `${Number((100 * share).toPrecision(6))} %`;

const count = (value) => value.toLocaleString("en-US");

/** Escape a name for a plot, where <b> and entities would be markup, and %{x} in a title a place to be filled. */
function plotText(name) {
  return name.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/%\{/g, "%&#123;");
}

/** Cut a name that is too long for an axis. */
function shortened(name, most = 34) {
  const letters = Array.from(name);
  return letters.length <= most ? name : `${letters.slice(0, most - 1).join("")}…`;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Return a plot's layout in the page's colors. */
function layout(more) {
  const axis = {gridcolor: color("line"), zerolinecolor: color("line"), linecolor: color("line"), automargin: true};
  const {axes = {}, ...rest} = more;
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: {color: color("ink"), size: 12},
    margin: {l: 55, r: 15, t: 10, b: 45}, showlegend: false, dragmode: false,
    hoverlabel: {bgcolor: color("card"), font: {color: color("ink")}, align: "left"}, ...rest,
  };
  for (const [name, own] of Object.entries(axes)) made[name] = {...axis, fixedrange: true, ...own};
  return made;
}

const PLOT_OPTIONS = {displaylogo: false, responsive: true, displayModeBar: false};

/** Draw a plot, or draw it anew. */
function plot(id, traces, look) {
  const place = byId(id);
  // one that was hidden while the screen changed would keep the width it had before
  if (place._fullLayout && Math.abs(place._fullLayout.width - place.clientWidth) > 1) Plotly.purge(place);
  return Plotly.react(place, traces, layout(look), PLOT_OPTIONS);
}

/** Let a click on a plot call a function with the point's customdata; only the latest one counts. */
function onPoint(id, chosen) {
  const place = byId(id);
  place.removeAllListeners?.("plotly_click");
  place.on("plotly_click", (event) => chosen(event.points[0]));
}

const INFERNO = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10],
  [249, 201, 50], [252, 255, 164]];
const DIVERGING = [[5, 48, 97], [33, 102, 172], [67, 147, 195], [146, 197, 222], [247, 247, 247], [244, 165, 130],
  [214, 96, 77], [178, 24, 43], [103, 0, 31]];

const stopsOf = (scale) => (scale === "z" ? DIVERGING : INFERNO);
const plotScale = (scale) => stopsOf(scale).map((rgb, place, all) => [place / (all.length - 1), `rgb(${rgb.join(",")})`]);

/** Return 256 colors as RGBA bytes. */
function colorTable(scale) {
  const stops = stopsOf(scale);
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  for (let level = 0; level < 256; level += 1) {
    const place = level / 255 * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 3; part += 1) {
      bytes[level * 4 + part] = Math.round(stops[below][part] + (place - below) * (stops[below + 1][part] - stops[below][part]));
    }
    bytes[level * 4 + 3] = 255;
  }
  return table;
}

const SCALE_NAMES = {raw: "similarity", z: "z against chance", calibrated: "calibrated similarity"};
