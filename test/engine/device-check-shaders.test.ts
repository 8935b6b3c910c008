/**
 * The check of a device runs every shader of the run that it is made for, but that of the last piece where logits are
 * split.
 */
import * as assert from "uvu/assert";
import type { Backend } from "../../src/backend/backend.ts";
import { chooseShader } from "../../src/backend/webgpu-shaders.ts";
import type { ModelConfig } from "../../src/config.ts";
import { bytesReader } from "../../src/data/corpus.ts";
import { type LoadedTexts, loadTexts } from "../../src/data/texts.ts";
import { excerptModel } from "../../src/engine/device-check.ts";
import { Group } from "../../src/engine/group.ts";
import type { BaseModel } from "../../src/io/hf.ts";
import type { Program } from "../../src/plan/plan.ts";
import { trainingWork } from "../../src/train/device.ts";
import { ofMode, type TrainOptions } from "../../src/train/options.ts";
import { prepareRun } from "../../src/train/prepare.ts";
import { test } from "../helpers/harness.ts";
import { LLAMA } from "../helpers/models.ts";
import { tinyData } from "../helpers/tiny.ts";

const SIZES = {
  micro: { n_layer: 4, n_head: 4, n_embd: 128 },
  small: { n_layer: 12, n_head: 12, n_embd: 768 },
  Llama: { ...LLAMA, n_layer: 4, n_head: 6, n_embd: 192, n_inner: 512 },
};
const MODES: Partial<TrainOptions>[] = [
  {},
  { dora: true, dropout: 0.1 },
  { dtype: "q8" },
  { recompute: "on" },
  { layers: [1] },
  { mode: "all" },
  { mode: "last_block" },
];

/** A device that is only planned for; its last program is kept. */
class Planned implements Pick<Backend, "info" | "limits" | "prepare"> {
  readonly info = { kind: "webgpu", name: "a graphics card", software: false } as const;
  readonly limits = { maxBinding: 2 ** 32, maxBuffer: 2 ** 32 };
  program: Program | undefined;

  prepare(program: Program): Promise<never> {
    this.program = program;
    throw new Error("only planned");
  }
}

const listShaders = (programs: readonly Program[]) =>
  new Set(
    programs.flatMap(({ segments }) =>
      segments.flatMap(({ dispatches }) => dispatches.map((dispatch) => chooseShader(dispatch).name)),
    ),
  );

const rows = Array.from({ length: 200 }, (_, i) => `${i % 2 ? "ham" : "spam"},"${"word ".repeat(90)} ${i}"`);
const messages = () => tinyData(`label,text\n${rows.join("\n")}\n`, { maxLength: 100 });

function texts(): Promise<LoadedTexts> {
  const text = "The quick brown fox jumps over the lazy dog. ".repeat(4000);
  return loadTexts({ file: bytesReader("book.txt", new TextEncoder().encode(text)) }, { maxLength: 256 });
}

for (const [name, size] of Object.entries(SIZES))
  for (const load of [messages, texts])
    test(`${name}, ${load.name}`, async () => {
      const data = await load();
      const config: ModelConfig = { ...size, vocab_size: 50257, n_positions: 256, layer_norm_epsilon: 1e-5 };
      const model = { config, vocabulary: { fingerprint: data.vocabulary } } as BaseModel;
      for (const options of MODES)
        for (const isShared of [false, true]) {
          const device = new Planned() as Planned & Backend;
          const run = { device, model, data, batchSize: 16, ...ofMode(options, options.mode ?? "lora") };
          const prepared = prepareRun(run);
          const { spec, capacity, optimizer, valueLoss, plan, features } = prepared;
          // Not checked: between adapted blocks of a plan of several one that has no adapters.
          if (isShared && (spec.lora === null || options.dora || options.dtype || options.layers)) continue;
          const member = { spec, capacity, optimizer };
          const part = features ? { part: "upper" as const } : {};
          const members = [member, member, member];
          const recompute = plan.recomputed > 0;
          const own = isShared ? Group.plan(device, { members, valueLoss, recompute, ...part }) : plan;
          const work = trainingWork(run, prepared, { members: isShared ? members.length : 1 });
          await work.create(device, excerptModel(work).spec).catch(() => {});
          const checked = listShaders([device.program!]);
          const unchecked = [...listShaders([own, ...(features ? [features.plan] : [])])].filter(
            (shader) => !checked.has(shader),
          );
          assert.equal(unchecked, [], JSON.stringify({ options, isShared }));
        }
    });
