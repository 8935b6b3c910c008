/**
 * The reader of safetensors beside the reference library, on files changed at random: both take a file or both refuse
 * it, but for what stands in DIFFERENCES; where both take it, every tensor has the same type, shape and values.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { bundleProgram } from "../../src/tools/bundles.mjs";

const COUNT = Number(process.env.LOWRANK_FUZZ ?? 5000);

/** What only one of the two refuses, by its message, and why that is meant. */
const DIFFERENCES = [
  { ours: /unknown element type/, why: "types of later versions (F4, F8_E8M0, C64, ...): no GPT-2 has them" },
  { ours: /a duplicate or nested key/, why: "the format forbids a name given twice; the library keeps the last" },
  {
    ours: /not a JSON object/,
    why: "the format demands a header that begins with {; the library skips white space",
  },
  {
    ours: /the shape is too large|invalid shape[\s\S]*found: .*\b9007199254740992\b/,
    why: "sizes or their product from 2^53 on, beside a 0: the library's limit is 2^64",
  },
  {
    ours: /__metadata__ .* is not an object of strings/,
    why: "null, which the library takes for none and never writes",
  },
  { ours: /nested too deeply/, why: "lists within lists, in a key that nobody reads" },
  {
    theirs: /number out of range|hex escape/,
    why: "1e400 and half a surrogate pair are JSON, in a key that nobody reads",
  },
];

/** Reports one line; `python` has safetensors. */
export async function checkFiles(work, python, report) {
  const bundle = resolve("build/exchange/files-ours.mjs");
  await bundleProgram("test/exchange/files.ts", bundle);
  const { changedFiles } = await import(bundle);
  const folder = join(work, "changed-files");
  mkdirSync(folder, { recursive: true });
  const ours = await changedFiles(folder, COUNT, 1);
  const { status } = spawnSync(python, ["test/exchange/files.py", folder, String(COUNT)], { stdio: "inherit" });
  if (status !== 0) return report(false, "changed safetensors files: the reference library gave no answer");
  const theirs = JSON.parse(readFileSync(join(folder, "theirs.json"), "utf8"));
  const counts = { taken: 0, refused: 0, meant: 0 };
  const faults = [];
  for (const [i, mine] of ours.entries()) {
    const other = theirs[i];
    if (mine.refused !== undefined && other.refused !== undefined) counts.refused++;
    else if (isMeant(mine, other)) counts.meant++;
    else if (JSON.stringify(mine) === JSON.stringify(other)) counts.taken++;
    else
      faults.push(`${join(folder, `${i}.safetensors`)}\n       ours:   ${brief(mine)}\n       theirs: ${brief(other)}`);
  }
  const { taken, refused, meant } = counts;
  const line = `${COUNT} changed safetensors files: ${taken} taken alike, ${refused} refused by both, ${meant} differ as meant`;
  report(faults.length === 0, [line, ...faults.slice(0, 5)].join("\n     "));
}

function isMeant(mine, other) {
  return DIFFERENCES.some(({ ours, theirs }) =>
    ours ? mine.refused?.match(ours) && other.tensors : other.refused?.match(theirs) && mine.tensors,
  );
}

const brief = (verdict) => JSON.stringify(verdict).slice(0, 400);
