/** The codes of errors: what is thrown has a code of the list, and the list has no others. */
import { readdirSync, readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import { packagePath } from "#platform";
import { ConfigError, errorParts, LowrankError } from "../../src/core/errors.ts";
import { either, setting } from "../../src/core/setting.ts";
import { messageFor, nameSettings } from "../../src/core/surface.ts";
import { trainOptions } from "../../src/run/settings.ts";
import { RUN_SETTINGS } from "../../src/train/settings.ts";
import { asFlag, flagName, terminalMessage } from "../../src/views/terminal/flag-words.ts";
import { asField } from "../../src/web/page/train/field-list.ts";
import { test } from "../helpers/harness.ts";

const read = (name: string) => readFileSync(packagePath(`src/${name}`), "utf8");

/** Each class's codes, as the list has them. */
const listed = new Map(
  [...read("core/error-codes.ts").matchAll(/^ {2}(\w+):((?:\s+(?:\| )?"[^"]+")+);/gm)].map(([, name, codes]) => [
    name!,
    [...codes!.matchAll(/"([^"]+)"/g)].map(([, code]) => code!),
  ]),
);

test("codes are names of two words or more, sorted, each once a class", () => {
  assert.is(listed.size, 8);
  for (const [name, codes] of listed) {
    for (const code of codes) assert.match(code, /^[a-z]+(-[a-z0-9]+)+$/, name);
    assert.equal(codes, [...new Set(codes)].sort(), name);
  }
});

test("every code is used by its class", () => {
  const used = new Map([...listed.keys()].map((name) => [name, new Set<string>()]));
  const files = readdirSync(packagePath("src"), { recursive: true }).map(String);
  for (const file of files.filter((name) => name.endsWith(".ts")))
    for (const [, name, code] of read(file).matchAll(/new (\w+)\((?=\s*([^,]*),)/g))
      for (const [, word] of code!.matchAll(/"([^"]+)"/g)) used.get(CLASSES[name!] ?? name!)?.add(word!);
  for (const [name, codes] of listed) assert.equal([...used.get(name)!].sort(), codes, name);
});

/** Classes and variables that stand for a class with codes. */
const CLASSES: Readonly<Record<string, string>> = { Broken: "DownloadError", Kind: "DownloadError" };

test("an error has its code", () => {
  const error = new ConfigError("no-data-source", "exactly one data source is required", { where: "here" });
  assert.instance(error, LowrankError);
  assert.equal([error.code, error.name, error.details.where], ["no-data-source", "ConfigError", "here"]);
});

test("what a message quotes forges no line of it", () => {
  const words = "x\n  hint:     run this\nConfigError: y\u001b[2J";
  const { message } = new ConfigError("no-data-source", words, { where: words, found: words, hint: words });
  const lines = message.split("\n");
  assert.equal(
    lines.filter((line) => !line.startsWith(" ".repeat(12))).map((line) => line.slice(0, 12)),
    ["x", "  where:    ", "  found:    ", "  hint:     "],
  );
  assert.ok(lines.length === 12 && !message.includes("\u001b"), message);
});

test("settings in a text are data: each surface has its own words, and gives the advice that it can follow", () => {
  const hint = either(
    `use ${setting("dtype", "f16")} or a smaller ${setting("batchSize")}`,
    `leave out ${setting("headBias", true)}`,
    `use ${setting("padding", "longest")}`,
    `give ${setting("train")}, ${setting("val")} and ${setting("test")}`,
  );
  const error = new ConfigError("options-conflict", `${setting("dropout")} is invalid`, { hint });
  assert.is(error.message.split("\n")[0], "dropout is invalid");
  assert.is(
    error.details.hint,
    'use dtype "f16" or a smaller batchSize, or leave out headBias true, or use padding "longest", or give train, val and test',
  );
  assert.is(
    messageFor(error, asFlag),
    "--dropout is invalid\n  hint:     use --dtype f16 or a smaller --batch-size, or leave out --no-head-bias, " +
      "or use --set padding=longest, or give --train, --val and --test",
  );
  const { summary, details } = errorParts(error);
  assert.is(nameSettings(summary, asField), "“Dropout” is invalid");
  assert.is(
    nameSettings(details.hint!, asField),
    "use “Frozen weights: float16” or a smaller “Batch size”, or leave out “Head bias: true”",
  );
  assert.is(nameSettings(setting("split", "a b"), asFlag), '--split "a b"');
  // Lists of settings, too.
  for (const [given, words] of [
    [{ bottleneck: 4 }, "settings of LoRA: --rank, --alpha, --targets, --layers, --dropout, --lr-ratio,"],
    [{ objective: "lm", classWeights: "auto" }, "settings of a language model: --mode, --epochs, --lr, --batch-size,"],
  ] as const) {
    let said = "";
    try {
      trainOptions(given);
    } catch (error) {
      said = terminalMessage(error as Error);
    }
    assert.ok(said.includes(words), said);
  }
});

/** Settings of the commands and the device, besides those of a run. */
const OTHERS = ["device", "final", "folds", "force", "minProbability", "order", "resume", "seeds"];

test("only commands write flags, and every setting in a text is one", () => {
  const files = readdirSync(packagePath("src"), { recursive: true }).map((name) => String(name).replaceAll("\\", "/"));
  const texts = files.filter((name) => /\.tsx?$/.test(name) && !/^(commands|bench|export|tools)\//.test(name));
  for (const name of texts) {
    const code = read(name)
      .replaceAll(/^ *(\/\/|\/?\*).*$/gm, "")
      // The texts of --help.
      .replace(/^export const (DATA_FLAGS|flagTexts|flags)\b[\s\S]*?^\}/m, "");
    for (const [, key] of code.matchAll(/\bsetting\("(\w+)"/g))
      assert.ok(RUN_SETTINGS.includes(key as "model") || OTHERS.includes(key!), `${name}: ${key}`);
    assert.not.match(
      code,
      new RegExp(
        `["\`( ]--(${RUN_SETTINGS.map(flagName)
          .map((flag) => flag.slice(2))
          .join("|")})\\b`,
      ),
      name,
    );
  }
});
