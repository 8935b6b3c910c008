import type { DeviceInfo } from "../../backend/backend.ts";
import type { TextOrPair } from "../../core/pair.ts";
import type { AdapterMeta } from "../../io/peft/adapter-meta.ts";
import type { TaskConfig } from "../../tasks/index.ts";
import type { Labelled } from "../../tasks/predictions.ts";

type Method = (texts: readonly TextOrPair[]) => Promise<Labelled[]>;

/** Gives texts labels or scores, by the method of its task: a `Classifier`, or a `ClassicModel`. */
export interface Labeller {
  readonly meta: {
    labels: readonly string[];
    task: Pick<TaskConfig, "objective">;
    settings: AdapterMeta["settings"];
  };
  /** Absent: it needs none. */
  readonly device?: DeviceInfo;
  classify: Method;
  score: Method;
  tag?: Method;
}
