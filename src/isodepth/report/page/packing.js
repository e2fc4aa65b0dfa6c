// Arrays travel as base64 of gzip of little-endian numbers.

const NUMBERS = {u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array, f64: Float64Array};
const unpacked = new Map();

/** Return the promise of a packed array's numbers; each is unpacked once. */
function unpack(pack) {
  if (!unpacked.has(pack)) unpacked.set(pack, inflated(pack));
  return unpacked.get(pack);
}

async function inflated(pack) {
  const letters = atob(pack.gzip);
  const bytes = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place += 1) bytes[place] = letters.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer().catch((cause) => { throw new Error("an array is damaged", {cause}); });
  const numbers = new NUMBERS[pack.type](buffer);
  const expected = pack.shape.reduce((product, size) => product * size, 1);
  if (numbers.length !== expected) throw new Error(`an array has ${numbers.length} numbers, not ${expected}`);
  return numbers;
}
