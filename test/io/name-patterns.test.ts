/** Names and patterns of an adapter's configuration: PEFT's matches, whatever they say in a time that is bounded. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { ConfigError } from "../../src/errors.ts";
import { loadModel } from "../../src/io/hf.ts";
import { loadAdapter } from "../../src/io/open-adapter.ts";
import { parsePeftConfig } from "../../src/io/peft-config.ts";
import { encodeSafetensors } from "../../src/io/safetensors-write.ts";
import { model } from "../helpers/adapters.ts";
import { assertFails, temporaryFolder } from "../helpers/border.ts";
import { test } from "../helpers/harness.ts";
import { assertCode, runCommand } from "../helpers/spawn.ts";

const BASICS = { peft_type: "LORA", task_type: "SEQ_CLS", r: 8, lora_alpha: 8, target_modules: ["c_attn"] };
const parse = (config: object, n_layer = 12) =>
  parsePeftConfig({ ...BASICS, ...config }, { ...model, n_layer }, "c.json");

/** The blocks with an adapter, for each matrix and rank other than 8: "attn.c_attn: 0 1; mlp.c_fc=4: all". */
async function hits(config: object): Promise<string> {
  const blocks = new Map<string, string[]>();
  for (const { name, r } of (await parse(config)).adapted) {
    const [, layer, kind] = /^transformer\.h\.(\d+)\.(.*)$/.exec(name)!;
    const key = r === 8 ? kind! : `${kind}=${r}`;
    blocks.set(key, [...(blocks.get(key) ?? []), layer!]);
  }
  return [...blocks].map(([key, all]) => `${key}: ${all.length === 12 ? "all" : all.join(" ")}`).join("; ");
}

/** What check_target_module_exists and get_pattern_key of PEFT 0.21.2 say to these, on 12 blocks. */
const PEFT: [config: object, hits: string][] = [
  [{ target_modules: ".*\\.(3|11)\\.attn\\.c_(attn|proj)" }, "attn.c_attn: 3 11; attn.c_proj: 3 11"],
  [{ target_modules: "transformer\\.h\\.\\d\\.mlp\\.c_fc" }, "mlp.c_fc: 0 1 2 3 4 5 6 7 8 9"],
  [{ target_modules: "transformer.h.1.*c_attn" }, "attn.c_attn: 1 10 11"],
  [{ target_modules: "c_attn" }, ""],
  [{ target_modules: ".*c_attn|score" }, "attn.c_attn: all"],
  [{ target_modules: "(?i).*\\.1\\.MLP\\.C_FC" }, "mlp.c_fc: 1"],
  [{ target_modules: "^.*\\.5\\.attn\\.c_attn$" }, "attn.c_attn: 5"],
  [{ target_modules: "\\Atransformer(?:\\.\\w+){3}\\.c_attn\\Z" }, "attn.c_attn: all"],
  [{ target_modules: ".*\\.[0-2]\\.[^.]+\\.c_proj" }, "attn.c_proj: 0 1 2; mlp.c_proj: 0 1 2"],
  [{ target_modules: ".*\\.[^0-9]*\\.c_fc" }, "mlp.c_fc: all"],
  [{ target_modules: "(?P<a>.*)\\.1{2}\\.\\D{4,4}\\.c_\\w{,4}" }, "attn.c_attn: 11; attn.c_proj: 11"],
  [{ target_modules: ".*\\b1\\b.*fc" }, "mlp.c_fc: 1"],
  [{ target_modules: ".*1\\B.*fc" }, "mlp.c_fc: 10 11"],
  [{ target_modules: ".*?[]x.]7[\\].].*_proj" }, "attn.c_proj: 7; mlp.c_proj: 7"],
  [{ target_modules: ".*\\.{x}|.*\\.2\\.mlp\\.c_fc{1}" }, "mlp.c_fc: 2"],
  [{ target_modules: ["c.attn", "mlp.c_f."] }, ""],
  [{ target_modules: ["attn", "h.1.mlp.c_fc"] }, "mlp.c_fc: 1"],
  [
    { target_modules: ["c_proj"], exclude_modules: ["mlp.c_proj", "transformer.h.2.attn.c_proj"] },
    "attn.c_proj: 0 1 3 4 5 6 7 8 9 10 11",
  ],
  [{ target_modules: ["c_fc"], exclude_modules: ".*\\.\\d\\.mlp.*" }, "mlp.c_fc: 10 11"],
  [{ target_modules: ["c_fc"], exclude_modules: "" }, "mlp.c_fc: all"],
  [{ target_modules: ["c_attn"], modules_to_save: ["h.1"] }, "attn.c_attn: 0 2 3 4 5 6 7 8 9 10 11"],
  [{ target_modules: ["c_attn"], modules_to_save: ["h.1."] }, "attn.c_attn: 0 1 2 3 4 5 6 7 8 9"],
  [{ target_modules: ["c_attn"], modules_to_save: ["attn", "x"] }, ""],
  [{ target_modules: ["c_attn"], modules_to_save: ["tn"] }, "attn.c_attn: all"],
  [{ target_modules: ["c_attn"], modules_to_save: ["h\\.[2-9]|.*11"] }, "attn.c_attn: 0 1 10"],
  [{ target_modules: ["c_attn"], modules_to_save: ["10.attn.c.attn"] }, "attn.c_attn: 0 1 2 3 4 5 6 7 8 9 11"],
  [{ target_modules: ["c_attn"], layers_to_transform: [1, 11] }, "attn.c_attn: 1 11"],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: "h" }, "attn.c_attn: 3"],
  [
    { target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: ["layers", "transformer.h"] },
    "attn.c_attn: 3",
  ],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: "layers" }, ""],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: ["transformer|h", "h"] }, ""],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: "[g-i]" }, "attn.c_attn: 3"],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: "" }, "attn.c_attn: 3"],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: [""] }, ""],
  [
    { target_modules: ["c_fc", "transformer.h.0.attn.c_attn"], layers_to_transform: [1] },
    "attn.c_attn: 0; mlp.c_fc: 1",
  ],
  [{ target_modules: ["c_attn"], rank_pattern: { c_attn: 2 } }, "attn.c_attn=2: all"],
  [{ target_modules: ["c_attn"], rank_pattern: { attn: 2, _attn: 3, "c.attn": 4 } }, "attn.c_attn=4: all"],
  [
    { target_modules: ["c_attn"], rank_pattern: { "1.attn.c_attn": 2, "11.attn.c_attn": 3 } },
    "attn.c_attn: 0 2 3 4 5 6 7 8 9 10; attn.c_attn=2: 1; attn.c_attn=3: 11",
  ],
  [
    { target_modules: ["c_attn"], rank_pattern: { "h.1.attn.c_attn": 2, "transformer.h.1..attn.c_attn": 3 } },
    "attn.c_attn: 0 2 3 4 5 6 7 8 9; attn.c_attn=2: 1; attn.c_attn=3: 10 11",
  ],
  [
    { target_modules: ["c_attn"], rank_pattern: { "[0-4]\\.attn\\..*": 2, c_attn: 3, ".*": 4 } },
    "attn.c_attn=2: 0 1 2 3 4; attn.c_attn=3: 5 6 7 8 9 10 11",
  ],
  [
    { target_modules: ["c_attn"], rank_pattern: { "^c_attn": 2, "^transformer.h.1.attn.c_attn": 3 } },
    "attn.c_attn: 0 2 3 4 5 6 7 8 9 10 11; attn.c_attn=3: 1",
  ],
  [{ target_modules: ["c_attn"], rank_pattern: { "3": 2, "h|c_attn": 3 } }, "attn.c_attn=3: all"],
  [
    { target_modules: ["c_attn"], rank_pattern: { "": 2, "h.2.attn.c_attn.": 3, "h.2.attn.c_att": 4 } },
    "attn.c_attn: all",
  ],
];

test("patterns match the same modules as in PEFT", async () => {
  for (const [config, expected] of PEFT)
    if (expected !== "") assert.is(await hits(config), expected, JSON.stringify(config));
    else await assertFails(ConfigError, "no-matching-target", () => hits(config));
});

test("modules_to_save saves by the endings of names, as PEFT does, and never by an expression", async () => {
  const { saves } = await parse({ modules_to_save: ["ln_f", "h.1", "ln_."] });
  for (const name of ["transformer.ln_f", "transformer.h.1.ln_1", "transformer.h.1", "score"]) assert.ok(saves(name));
  for (const name of ["transformer.h.2.ln_1", "transformer.h.10", "transformer"]) assert.not.ok(saves(name), name);
  assert.ok((await parse({ modules_to_save: ["_f"] })).saves("transformer.ln_f"), "a part of a name");
});

test("unsupported and invalid expressions are refused with setting and expression", async () => {
  const supported = ["(?i)", "only"];
  const wrong: [string, ...string[]][] = [
    ["c_attn(?=x)", ...supported],
    ["(?<!x)c_attn", ...supported],
    ["(?>x)", ...supported],
    ["c(?i)x", ...supported],
    ["(.)\\1", "\\1"],
    ["(?P<a>.)(?P<a>.)", "duplicate capture group name"],
    ["a++", "possessive"],
    ["a**", "nested repetition"],
    ["a{1}{2}", "nested repetition"],
    ["^*", "nothing to repeat"],
    ["a{3,2}", "invalid repeat count"],
    ["[a", "missing closing ]"],
    ["[z-a]", "range"],
    ["[\\d-z]", "range"],
    ["\\q", "\\q"],
    ["\\z", "\\z"],
    ["[\\b]", "\\b"],
    ["[[:alpha:]]", "[:alpha:]"],
    ["(?<a>x)", ...supported],
    ["(?U)x", ...supported],
    ["(a", "missing closing )"],
    ["a)", "unexpected )"],
    ["\u00e9(", "not ASCII"],
  ];
  for (const [pattern, ...words] of wrong)
    for (const config of [
      { target_modules: pattern },
      { exclude_modules: pattern },
      { modules_to_save: [pattern] },
      { rank_pattern: { [pattern]: 3 } },
      { alpha_pattern: { [pattern]: 3 } },
      { layers_to_transform: [1], layers_pattern: pattern },
    ]) {
      const [setting] = Object.keys(config).slice(-1);
      // Between PEFT's own expressions a fault may have another name.
      const all = setting === "target_modules" ? [...words, pattern] : [setting!, "regular expression"];
      await assertFails(ConfigError, "unsupported-pattern", ["c.json", "as a list of names", setting!, ...all], () =>
        parse(config),
      );
    }
  // Between other expressions it escapes what follows.
  await assertFails(ConfigError, "unsupported-pattern", ["trailing backslash"], () => parse({ target_modules: "\\" }));
});

/** Expressions that a backtracking matcher never ends with, or that have more states than memory. */
const HOSTILE = [
  "(([a-z0-9._]+)+)+!",
  `${".*".repeat(12)}!`,
  `${"(".repeat(90)}.${"*)".repeat(90)}!`,
  `${"(".repeat(90)}.${"{1,9})".repeat(90)}!`,
  `${".*.*".repeat(2000)}!`,
  "(.{1000}){1000}",
  "(){4294967294}",
  "(".repeat(100_000),
  "[a".repeat(1_000_000),
  "(a|".repeat(1_000_000),
  "{1".repeat(1_000_000),
  "a".repeat(8_000_000),
  "a!".repeat(4_000_000),
  "((.?){31}){31}".repeat(280),
  "(?:a|b){1,1000}".repeat(260),
];

test("hostile patterns are matched or refused within milliseconds, in every setting", async () => {
  for (const pattern of HOSTILE)
    for (const config of [
      { target_modules: pattern },
      { exclude_modules: pattern },
      { modules_to_save: [pattern] },
      { rank_pattern: { [pattern]: 3 } },
      { alpha_pattern: { [pattern]: 3 } },
      { layers_to_transform: [1], layers_pattern: [pattern] },
    ]) {
      const started = performance.now();
      try {
        await parse(config, 48);
      } catch (error) {
        assert.instance(error, ConfigError);
      }
      const ms = performance.now() - started;
      assert.ok(ms < 3000, `${ms} ms: ${JSON.stringify(config).slice(0, 60)}`);
    }
});

test("30,000 names in every setting against 48 blocks take a moment, names that differ late in the name too", async () => {
  for (const begin of ["", "transformer.h.47.attn.c_"]) {
    const names = Array.from({ length: 30_000 }, (_, i) => `${begin}${i.toString(36).padStart(4, "x")}`);
    const numbers = Object.fromEntries(names.map((name) => [name, 3]));
    const all = { target_modules: [...names, "c_attn"], exclude_modules: names, modules_to_save: names };
    const started = performance.now();
    const { adapted } = await parse({ ...all, rank_pattern: numbers, alpha_pattern: numbers }, 48);
    const ms = performance.now() - started;
    assert.is(adapted.length, 48);
    assert.ok(ms < 3000, `${ms} ms`);
  }
});

test("an adapter whose pattern never ends in PEFT loads or is refused at once, by the library and by the command", async () => {
  const folder = temporaryFolder();
  const base = packagePath("data/models/gpt2-micro");
  const checkpoint = await loadModel(base);
  for (const [i, target_modules] of HOSTILE.slice(0, 2).entries()) {
    const directory = join(folder, String(i));
    mkdirSync(directory);
    writeFileSync(join(directory, "adapter_config.json"), JSON.stringify({ peft_type: "LORA", target_modules }));
    writeFileSync(join(directory, "adapter_model.safetensors"), encodeSafetensors([]));
    const started = performance.now();
    await assertFails(ConfigError, "no-matching-target", [target_modules], () => loadAdapter(directory, checkpoint));
    const args = ["--adapter", directory, "--model", base, "x"];
    const finished = await runCommand("classify", args, { cwd: folder });
    assertCode(finished, 2);
    assert.match(finished.stderr, "matches no matrix");
    assert.ok(performance.now() - started < 20_000);
  }
  await checkpoint.close();
});
