/** A kind of model, classifier or language model, as the code that both share needs it. */
import type { Backend } from "../backend/backend.ts";
import type { Work } from "../engine/check-work.ts";
import type { Weights } from "../engine/weights.ts";
import type { ModelSpec } from "../model/trainable.ts";
import type { Program } from "../plan/plan.ts";

/** How a kind of model comes to a device: its specification with an adapter, and its memory and kernels. */
export interface ModelKind<E extends Weights> {
  spec: ModelSpec;
  /** Models of one layout can share the tensors of their base. */
  layout: "rows" | "tokens";
  /** What is computed in the check of a device; absent: what an engine does. */
  makeWork?(device: Backend, plan: Program): Work;
  /** What `create` prepares. */
  plan(device: Backend): Program;
  create(device: Backend, sharedFrom?: E): Promise<E>;
}
