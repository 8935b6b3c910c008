/** Names and shapes of a model's tensors, and which of them learn: the one place that knows the four modes. */
import { type GPT2Config, type LoraConfig, loraScale, type Mode, type Target, type TaskConfig } from "../config.ts";
import { ConfigError } from "../errors.ts";
import type { Shape } from "../tensor.ts";

/** Everything that decides which tensors a model has and which of them learn. */
export interface ModelSpec {
  config: GPT2Config;
  task: TaskConfig;
  mode: Mode;
  /** Set in mode lora, null in the others. */
  lora: LoraConfig | null;
  /** In mode lora: whether the classification head learns beside its adapter. */
  train_head: boolean;
}

/** A matrix that an adapter stands beside. */
export interface LoraSite {
  target: Target;
  /** "h.0.attn.q", ..., "head". */
  name: string;
  in: number;
  out: number;
}

/** Names of the base tensors in the order of the checkpoint, with their shapes (Conv1D weights are [in, out]). */
export function baseShapes(config: GPT2Config): Map<string, Shape> {
  const C = config.n_embd;
  const shapes = new Map<string, Shape>([
    ["wte.weight", [config.vocab_size, C]],
    ["wpe.weight", [config.n_positions, C]],
  ]);
  for (let i = 0; i < config.n_layer; i++) {
    for (const [name, shape] of [
      ["ln_1", [C]],
      ["attn.c_attn", [C, 3 * C]],
      ["attn.c_proj", [C, C]],
      ["ln_2", [C]],
      ["mlp.c_fc", [C, 4 * C]],
      ["mlp.c_proj", [4 * C, C]],
    ] as const) {
      shapes.set(`h.${i}.${name}.weight`, shape);
      shapes.set(`h.${i}.${name}.bias`, shape.slice(-1));
    }
  }
  shapes.set("ln_f.weight", [C]);
  shapes.set("ln_f.bias", [C]);
  return shapes;
}

/** The classification head in nn.Linear's layout; nothing for a language model, whose head is wte. */
export function headShapes(config: GPT2Config, task: TaskConfig): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  if (task.objective === "lm") return shapes;
  shapes.set("head.weight", [task.num_labels, config.n_embd]);
  if (task.head_bias) shapes.set("head.bias", [task.num_labels]);
  return shapes;
}

const SITES: Record<Exclude<Target, "head">, string> = {
  q: "attn.q",
  k: "attn.k",
  v: "attn.v",
  o: "attn.o",
  fc: "mlp.fc",
  proj: "mlp.proj",
};

/** The sites of an adapter, block by block, the head last. */
export function loraSites({ config, task, lora }: ModelSpec): LoraSite[] {
  if (!lora) return [];
  const C = config.n_embd;
  const sites: LoraSite[] = [];
  for (let i = 0; i < config.n_layer; i++)
    for (const [target, site] of Object.entries(SITES) as [keyof typeof SITES, string][])
      if (lora.target_modules.includes(target))
        sites.push({
          target,
          name: `h.${i}.${site}`,
          in: target === "proj" ? 4 * C : C,
          out: target === "fc" ? 4 * C : C,
        });
  if (lora.target_modules.includes("head"))
    sites.push({
      target: "head",
      name: "head",
      in: C,
      out: task.objective === "lm" ? config.vocab_size : task.num_labels,
    });
  return sites;
}

/** Every tensor of the model with its shape, and whether it learns. */
export function parameterList(spec: ModelSpec): { name: string; shape: Shape; learns: boolean }[] {
  const { config, task, mode, lora } = spec;
  if ((lora !== null) !== (mode === "lora"))
    throw new ConfigError("adapters and mode do not fit", {
      expected: "LoRA settings in mode lora, none in the others",
      found: `mode ${mode} ${lora ? "with" : "without"} LoRA settings`,
    });
  if (task.objective === "lm" && mode !== "lora" && mode !== "all")
    throw new ConfigError(`mode ${mode} makes no sense for a language model`, {
      expected: "lora or all",
      hint: "the head of a language model is the token table, not a tensor of its own",
    });
  const shapes = new Map([...baseShapes(config), ...headShapes(config, task)]);
  for (const site of loraSites(spec)) {
    shapes.set(`lora.${site.name}.A`, [lora!.r, site.in]);
    shapes.set(`lora.${site.name}.B`, [site.out, lora!.r]);
  }
  const last = `h.${config.n_layer - 1}.`;
  const isHead = (name: string) => name.startsWith("head.");
  const learns: Record<Mode, (name: string) => boolean> = {
    lora: (name) => name.startsWith("lora.") || (spec.train_head && isHead(name)),
    all: () => true,
    // The final layer norm stays frozen, as in the paper's program.
    last_block: (name) => name.startsWith(last) || isHead(name),
    last_layer: isHead,
  };
  return [...shapes].map(([name, shape]) => ({ name, shape, learns: learns[mode](name) }));
}

/** Number of values that learn. */
export function trainableCount(spec: ModelSpec): number {
  return parameterList(spec).reduce(
    (sum, { shape, learns }) => sum + (learns ? shape.reduce((a, b) => a * b, 1) : 0),
    0,
  );
}

/** The factor of every adapter; 0 where there is none. */
export function scaleOf(spec: ModelSpec): number {
  return spec.lora ? loraScale(spec.lora) : 0;
}
