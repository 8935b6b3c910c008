/** SwiGLU as a layer: see ops/swiglu.ts. Loaded with the architectures that have it. */
import { swigluBackward, swigluForward } from "../ops/swiglu.ts";
import type { Gate } from "./lower.ts";

export const gate: Gate = {
  forward: (out, inp, rows) => swigluForward(out, inp, rows.count),
  backward: (dinp, out, dout, inp, rows) => swigluBackward(dinp, out, dout, inp, rows.count),
};
