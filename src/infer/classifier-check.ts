/** What a classifier computes in the check of a WebGPU device, with which it is loaded. */
import type { Engine } from "../engine/engine.ts";
import type { CreateWork } from "./model-kind.ts";

/** The logits of a text and its reverse. */
export const createWork: CreateWork<Engine> = (text) => {
  const { length } = text;
  const batch = {
    ids: Uint32Array.from([...text, ...text.toReversed()]),
    starts: Uint32Array.of(0, length, 2 * length),
    rows: Uint32Array.of(length - 1, 2 * length - 1),
    targets: new Int32Array(2),
  };
  const classify = (engine: Engine) => {
    engine.forward(batch);
    return engine.logits(2);
  };
  return { name: "classification", pass: classify, results: async (engine) => [["logits", await classify(engine)]] };
};
