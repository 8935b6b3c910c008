/** Names and patterns of an adapter's configuration: PEFT's matches, whatever they say in a time that is bounded. */
import * as assert from "uvu/assert";
import { parsePeftConfig } from "../../../src/io/peft/peft-config.ts";
import { model } from "../../helpers/adapters.ts";
import { assertFails } from "../../helpers/border.ts";
import { test } from "../../helpers/harness.ts";

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
  // As unsloth writes them.
  [
    {
      target_modules:
        "(?:.*?(?:vision|language|text).*?(?:self_attn|attn|mlp).*?(?:q_proj|c_fc).*?)|(?:\\btransformer\\.h\\.[\\d]{1,}\\.(?:self_attn|attn|mlp)\\.(?:(?:c_attn|c_fc)))",
    },
    "attn.c_attn: all; mlp.c_fc: all",
  ],
  [{ target_modules: "c_attn" }, ""],
  [{ target_modules: ".*c_attn|score" }, "attn.c_attn: all"],
  [{ target_modules: "^.*\\.5\\.attn\\.c_attn$" }, "attn.c_attn: 5"],
  [{ target_modules: "^transformer(?:\\.\\w+){3}\\.c_attn$" }, "attn.c_attn: all"],
  [{ target_modules: ".*\\.[0-2]\\.[^.]+\\.c_proj" }, "attn.c_proj: 0 1 2; mlp.c_proj: 0 1 2"],
  [{ target_modules: ".*\\.[^0-9]*\\.c_fc" }, "mlp.c_fc: all"],
  [{ target_modules: "(.*)\\.1{2}\\.\\D{4,4}\\.c_\\w{,4}" }, "attn.c_attn: 11; attn.c_proj: 11"],
  [{ target_modules: ".*\\b1\\b.*fc" }, "mlp.c_fc: 1"],
  [{ target_modules: ".*?[]x.]7[\\].].*_proj" }, "attn.c_proj: 7; mlp.c_proj: 7"],
  [{ target_modules: ".*\\.2\\.mlp\\.c_fc{1}" }, "mlp.c_fc: 2"],
  [{ target_modules: "all-linear", exclude_modules: ["c_fc"] }, "attn.c_attn: all; attn.c_proj: all; mlp.c_proj: all"],
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
  [{ target_modules: ["c_attn"], modules_to_save: ["(h\\.[2-9]|.*11)"] }, "attn.c_attn: 0 1 10"],
  [{ target_modules: ["c_attn"], modules_to_save: ["10.attn.c.attn"] }, "attn.c_attn: 0 1 2 3 4 5 6 7 8 9 11"],
  [{ target_modules: ["c_attn"], layers_to_transform: [1, 11] }, "attn.c_attn: 1 11"],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: "h" }, "attn.c_attn: 3"],
  [
    { target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: ["layers", "transformer.h"] },
    "attn.c_attn: 3",
  ],
  [{ target_modules: ["c_attn"], layers_to_transform: 3, layers_pattern: "layers" }, ""],
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
    else await assertFails("no-matching-target", () => hits(config));
});

test("the head is lm_head or score, by what was trained", async () => {
  const last = async (config: object) => (await parse(config)).adapted.at(-1)!.name;
  assert.is(await last({ task_type: "CAUSAL_LM", target_modules: ["c_attn", "lm_head"] }), "lm_head");
  assert.is(await last({ task_type: null, target_modules: ["c_attn", "score"] }), "score");
});

test("modules_to_save saves by the endings of names, as PEFT does, and never by an expression", async () => {
  const { saves } = await parse({ modules_to_save: ["ln_f", "h.1", "ln_."] });
  for (const name of ["transformer.ln_f", "transformer.h.1.ln_1", "transformer.h.1", "score"]) assert.ok(saves(name));
  for (const name of ["transformer.h.2.ln_1", "transformer.h.10", "transformer"]) assert.not.ok(saves(name), name);
  assert.ok((await parse({ modules_to_save: ["_f"] })).saves("transformer.ln_f"), "a part of a name");
});

/** A setting of names or patterns, with a pattern. */
const SETTINGS: readonly ((pattern: string) => object)[] = [
  (pattern) => ({ target_modules: pattern }),
  (pattern) => ({ exclude_modules: pattern }),
  (pattern) => ({ modules_to_save: [pattern] }),
  (pattern) => ({ rank_pattern: { [pattern]: 3 } }),
  (pattern) => ({ alpha_pattern: { [pattern]: 3 } }),
  (pattern) => ({ layers_to_transform: [1], layers_pattern: pattern }),
];

test("unsupported and invalid expressions are refused with setting and expression", async () => {
  const wrong: [string, string][] = [
    ...["c_attn(?=x)", "(?<!x)c_attn", "(?>x)", "(?i)c", "(?P<a>x)"].map((each): [string, string] => [each, "(?:"]),
    ["(.)\\1", "\\1"],
    ["a++", "nothing to repeat"],
    ["a**", "nothing to repeat"],
    ["a{1}{2}", "nothing to repeat"],
    ["a{x}", "nothing to repeat"],
    ["|*", "nothing to repeat"],
    ["\\b?", "nothing to repeat"],
    ["a{3,2}", "least count"],
    ["[a", "missing ]"],
    ["[z-a]", "range"],
    ["[\\d-z]", "range"],
    ["\\q", "\\q"],
    ["\\A", "\\A"],
    ["[\\b]", "\\b"],
    ["(a", "missing )"],
    ["a)", "unbalanced"],
    ["\\", "backslash"],
    ["\u00e9(", "not ASCII"],
    ["(".repeat(100), "too deeply"],
    ["a".repeat(20_001), "20000 characters"],
  ];
  for (const [pattern, reason] of wrong)
    for (const make of SETTINGS) {
      const config = make(pattern);
      const words = ["c.json", "as a list of names", Object.keys(config).at(-1)!, reason, pattern.slice(0, 100)];
      await assertFails("unsupported-pattern", words, () => parse(config));
    }
  // PEFT puts these between expressions of its own.
  for (const config of [{ modules_to_save: ["a|b"] }, { layers_to_transform: [1], layers_pattern: "transformer|h" }])
    await assertFails("unsupported-pattern", ["alternatives outside of a group"], () => parse(config));
});

/** Expressions that a backtracking matcher never ends with, or that have more states than memory. */
const HOSTILE: readonly [string, "unsupported-pattern" | "no-matching-target"][] = [
  ["(([a-z0-9._]+)+)+!", "no-matching-target"],
  ["(.{1000}){1000}(){4294967294}", "no-matching-target"],
  [`${"(".repeat(60)}${"){99}".repeat(60)}`, "unsupported-pattern"],
  [`${".*.*".repeat(5000)}!`, "unsupported-pattern"],
  [`(${"|".repeat(19_000)}){999}`, "unsupported-pattern"],
];

test("hostile patterns are matched or refused in bounded steps", async () => {
  for (const [target_modules, code] of HOSTILE) await assertFails(code, () => parse({ target_modules }));
});

test("30,000 names, and a rank and an alpha of each module, match 48 blocks", async () => {
  const names = Array.from({ length: 30_000 }, (_, i) => `transformer.h.47.attn.c_${i.toString(36).padStart(4, "x")}`);
  const lists = { target_modules: [...names, "c_attn", "c_proj", "c_fc"], exclude_modules: names };
  const ranks = Object.fromEntries((await parse(lists, 48)).adapted.map(({ name }, i) => [name, i + 1]));
  const { adapted } = await parse({ ...lists, rank_pattern: ranks, alpha_pattern: ranks }, 48);
  assert.equal(
    adapted.map(({ r, scale }) => [r, scale]),
    adapted.map((_, i) => [i + 1, 1]),
  );
  assert.is(adapted.length, 4 * 48);
});
