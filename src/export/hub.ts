/** --to hub: a folder for the Hugging Face hub, which has what can be used there without Lowrank. */
import { ConfigError } from "../errors.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import { type AdapterMeta, peftForm } from "../io/peft/peft.ts";
import * as names from "../io/peft/peft-names.ts";
import { peftObstacle } from "../io/peft/peft-write.ts";
import { readsPairs } from "../pair.ts";
import { shellWord } from "../quote.ts";
import { hasHead } from "../tasks/index.ts";
import type { Exported, FormOptions, PlanForm, Source } from "./form.ts";
import { nameMethod } from "./mergeable.ts";
import { baseLabel, pythonPath } from "./peft-code.ts";
import { promptOf } from "./usage.ts";

export const plan: PlanForm = async (source, options) => {
  const { meta } = source.adapter;
  const form = peftForm(meta, names);
  const obstacle = form && peftObstacle(form);
  const isPeft = form !== undefined && obstacle === undefined;
  const exported = isPeft ? await adapterFolder(source, options) : await mergedFolder(source, options);
  const what = isPeft
    ? "the folder has the adapter, for PEFT"
    : `the folder has the merged model: PEFT does not have ${obstacle ?? nameMethod(meta)}`;
  return { ...exported, notes: [what, ...exported.notes] };
};

async function mergedFolder(source: Source, options: FormOptions): Promise<Exported> {
  if (options.withBase)
    throw new ConfigError("options-conflict", "a merged model has its base model in it", {
      found: `${nameMethod(source.adapter.meta)}, which PEFT does not have`,
      hint: "leave out --with-base",
    });
  const { plan } = await import("./merged.ts");
  const exported = await plan(source, options);
  const { meta } = source.adapter;
  return hasHead(meta.task) ? exported : withCommand(exported, `generate --model . ${promptWords(meta)}`);
}

/** PEFT's adapter, and what only Lowrank reads: names of classes, thresholds, the head as it was trained. */
async function adapterFolder({ adapter, ...rest }: Source, options: FormOptions): Promise<Exported> {
  const { base, baseModel, finalNorm } = rest;
  const { withBase } = options;
  const name = baseLabel(base);
  // The owner's folders stay at home.
  const meta = { ...adapter.meta, base_model: name };
  const published = { ...adapter, meta };
  const { baseCopy, ownFiles, planAdapter } = await import("./peft.ts");
  const exported = await planAdapter({ ...rest, adapter: published }, options, pythonPath({ ...base, name }));
  for (const [own, content] of ownFiles(published, finalNorm)) exported.files.set(own, content);
  const model = withBase
    ? ` --model ${baseCopy(baseModel)}`
    : base.place === "folder"
      ? ` --model ${shellWord(name)}`
      : "";
  const texts = readsPairs(meta) ? '--pair "some text" "another text"' : '"some text"';
  const [command, text] = hasHead(meta.task) ? ["classify", texts] : ["generate", promptWords(meta)];
  return withCommand(exported, `${command} --adapter .${model} ${text}`);
}

const promptWords = (meta: AdapterMeta) => `${readsChats(meta) ? "--chat " : ""}${shellWord(promptOf(meta))}`;

/** An export with the command by which Lowrank uses it, too. */
function withCommand(exported: Exported, command: string): Exported {
  const text = "In this directory, after npm install lowrank:";
  const usage = { title: "With Lowrank", language: "sh", text, code: `npx lowrank ${command}` } as const;
  return { ...exported, usages: [...exported.usages, usage] };
}
