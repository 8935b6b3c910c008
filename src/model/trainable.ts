/** A model's tensors and which of them learn: the one place that knows the four modes. */
import type { GPT2Config, LoraConfig, Mode, TaskConfig, WeightDtype } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { baseShapes, headShapes, loraShapes, loraSites } from "../names.ts";
import { type Shape, sizeOf } from "../tensor.ts";

/** Everything that decides which tensors a model has and which of them learn. */
export interface ModelSpec {
  config: GPT2Config;
  task: TaskConfig;
  mode: Mode;
  /** Set in mode lora, null in the others. */
  lora: LoraConfig | null;
  /** In mode lora: whether the classification head learns beside its adapter. */
  train_head: boolean;
  /** What the base model's matrices that do not learn are kept in; default f32. */
  dtype?: WeightDtype;
}

/** What is known of a tensor before there is a plan. */
interface Description {
  name: string;
  shape: Shape;
  learns: boolean;
  dtype: WeightDtype;
}

/** Every tensor of the model with its shape, and whether it learns. */
export function parameterList(spec: ModelSpec): Description[] {
  const { config, task, mode, lora, dtype = "f32" } = spec;
  if (dtype === "f16" && mode === "all")
    throw new ConfigError("nothing is frozen in mode all", {
      expected: "weights in f32: what learns, or was trained, is never rounded to f16",
      found: "f16",
    });
  if ((lora !== null) !== (mode === "lora"))
    throw new ConfigError("adapters and mode do not fit", {
      expected: "LoRA settings in mode lora, none in the others",
      found: `mode ${mode} ${lora ? "with" : "without"} LoRA settings`,
    });
  if (task.objective === "lm" && mode === "last_layer")
    throw new ConfigError("mode last_layer makes no sense for a language model", {
      expected: "lora, all or last_block",
      hint: "its last layer is the token table, not a tensor of its own",
    });
  const isClassifier = task.objective === "classification";
  const headOut = isClassifier ? task.num_labels : config.vocab_size;
  const base = baseShapes(config);
  const shapes = new Map([
    ...base,
    ...(isClassifier ? headShapes(config, task.num_labels, task.head_bias) : []),
    ...(lora ? loraShapes(config, lora, headOut) : []),
  ]);
  const last = `h.${config.n_layer - 1}.`;
  const isHead = (name: string) => name.startsWith("head.");
  const learns: Record<Mode, (name: string) => boolean> = {
    lora: (name) => name.startsWith("lora.") || (spec.train_head && isHead(name)) || (lora?.also ?? []).includes(name),
    all: () => true,
    // The final layer norm stays frozen, as in the paper's program.
    last_block: (name) => name.startsWith(last) || isHead(name),
    last_layer: isHead,
  };
  return [...shapes].map(([name, shape]) => {
    const learning = learns[mode](name);
    const isFrozenMatrix = !learning && shape.length === 2 && base.has(name);
    return { name, shape, learns: learning, dtype: isFrozenMatrix ? dtype : "f32" };
  });
}

/** Number of values that learn. */
export function trainableCount(spec: ModelSpec): number {
  return parameterList(spec).reduce((sum, { shape, learns }) => sum + (learns ? sizeOf(shape) : 0), 0);
}

/** The factor of each adapter, by its site. */
export function scalesOf({ config, lora }: ModelSpec): Map<string, number> {
  return new Map((lora ? loraSites(config, lora) : []).map(({ site, scale }) => [site, scale]));
}
