/** How far training moved the matrices of a model, relative to their size. */
import type { LoraSite } from "../config.ts";
import type { GPT2Checkpoint } from "../io/hf.ts";
import type { Adapter, Tensors } from "../io/peft.ts";
import { ADAPTERS, loraSites, parseSite } from "../names.ts";
import { numel } from "../tensor.ts";
import { computeSpectrum, type Factors, productNorm, type Spectrum } from "./spectrum.ts";

/** The change of a matrix, or of a bias. */
export interface Change {
  /** null: outside the blocks. */
  block: number | null;
  /** q, k, v (c_attn: one adapter for three), o, fc, proj, ln_1, ln_2; outside blocks wte, wpe, ln_f, lm_head, head. */
  part: string;
  /** The Frobenius norm of the change, and of what is changed. */
  norm: number;
  of: number;
  /** The rank of its adapter, and how that is used (not of ranks beyond `MOST_RANK`); null without an adapter. */
  adapter: { r: number; spectrum: Spectrum | null } | null;
}

export interface Changes {
  /** What is compared: biases where no weight of the blocks is trained. */
  kind: "weight" | "bias";
  /** Blocks of the model. */
  blocks: number;
  /** In the order of the forward pass. */
  changes: Change[];
}

/** The highest rank whose singular values are computed: all of a model take a second. */
export const MOST_RANK = 64;

/** The parts of a tensor's last dimension. */
const PARTS_OF: Record<string, readonly string[]> = {
  "attn.c_attn": ["q", "k", "v"],
  "attn.c_proj": ["o"],
  "mlp.c_fc": ["fc"],
  "mlp.c_proj": ["proj"],
};

/**
 * The changes of a trained model: ||s B A|| / ||W|| of adapters, the difference between trained and frozen values of
 * other tensors of the base model, and between a classifier's head and its initial values in `start`, if they are
 * known. Adapter layers, prompts and prefixes change no matrix: only the head remains.
 */
export async function measureChanges(adapter: Adapter, base: GPT2Checkpoint, start: Tensors | null): Promise<Changes> {
  const { meta, tensors } = adapter;
  const names = base.names.filter((name) => tensors.has(name));
  const inBlocks = (ending: string) => names.some((name) => name.startsWith("h.") && name.endsWith(ending));
  const kind = inBlocks(".weight") || !inBlocks(".bias") ? "weight" : "bias";
  const sizes = new Sizes(base);
  const changes: Change[] = [];
  const { lora, model, task } = meta;
  for (const one of lora ? loraSites(model, lora) : []) {
    const { site } = one;
    if (site === "head" && task.objective === "classification") continue;
    const block = site === "head" ? null : parseSite(site, model)!.layer;
    const factors = siteFactors(tensors, one);
    const [norm, of] = [productNorm(factors), await sizes.atSite(site)];
    changes.push({ block, part: site.split(".").at(-1)!, norm, of, adapter: measureUse(factors) });
  }
  for (const name of names.filter((one) => one.endsWith(`.${kind}`)))
    for (const one of await sizes.moved(name, tensors.get(name)!.data)) changes.push({ ...one, adapter: null });
  const before = start?.get("head.weight")?.data;
  if (before && tensors.has("head.weight")) changes.push(headChange(adapter, before));
  return { kind, blocks: base.config.n_layer, changes };
}

function siteFactors(tensors: Tensors, { site, r, scale }: LoraSite): Factors {
  return { A: tensors.get(`lora.${site}.A`)!.data, B: tensors.get(`lora.${site}.B`)!.data, r, scale };
}

function measureUse(factors: Factors): Change["adapter"] {
  const { r } = factors;
  return { r, spectrum: r <= MOST_RANK ? computeSpectrum(factors) : null };
}

/** A classifier's head is small: its adapter's product is formed. */
function headChange({ meta: { lora, model }, tensors }: Adapter, before: Float32Array): Change {
  const { data, shape } = tensors.get("head.weight")!;
  const change = Float64Array.from(data, (value, i) => value - before[i]!);
  const site = lora && loraSites(model, lora).find((one) => one.site === "head");
  const factors = site ? siteFactors(tensors, site) : null;
  if (factors) {
    const { A, B, r, scale } = factors;
    const columns = shape[1]!;
    for (let i = 0; i < change.length; i++)
      for (let k = 0; k < r; k++)
        change[i]! += scale * B[Math.floor(i / columns) * r + k]! * A[k * columns + (i % columns)]!;
  }
  const norm = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((sum, x) => sum + x * x, 0));
  return { block: null, part: "head", norm: norm(change), of: norm(before), adapter: factors && measureUse(factors) };
}

/** Elements of a tensor that are read at a time. */
const PIECE = 1 << 18;

/** Norms of the base model's tensors, each read once. */
class Sizes {
  private readonly known = new Map<string, Promise<{ of: number; norm: number }[]>>();

  constructor(private readonly base: GPT2Checkpoint) {}

  /** The norm of the matrix of a site. */
  async atSite(site: string): Promise<number> {
    if (site === "head") {
      const table = this.base.config.tie_word_embeddings === false ? "lm_head.weight" : "wte.weight";
      return (await this.of(table))[0]!.of;
    }
    const [, block, place] = /^h\.(\d+)\.(.*)$/.exec(site)!;
    const [matrix] = Object.entries(ADAPTERS).find(([, sites]) => sites.some(([name]) => name === place))!;
    const parts = await this.of(`h.${block}.${matrix}.weight`);
    const i = PARTS_OF[matrix]!.indexOf(place!.split(".")[1]!);
    return i < 0 ? Math.hypot(...parts.map(({ of }) => of)) : parts[i]!.of;
  }

  /** A tensor's parts, and how far they are from the trained values. */
  async moved(name: string, trained: Float32Array): Promise<Omit<Change, "adapter">[]> {
    const [, block, place] = /^(?:h\.(\d+)\.)?(.*)\.(?:weight|bias)$/.exec(name)!;
    const parts = PARTS_OF[place!] ?? [place!];
    const sizes = await this.measure(name, trained);
    return parts.map((part, i) => ({ block: block === undefined ? null : Number(block), part, ...sizes[i]! }));
  }

  private of(name: string): Promise<{ of: number }[]> {
    const known = this.known.get(name) ?? this.measure(name);
    this.known.set(name, known);
    return known;
  }

  private async measure(name: string, trained?: Float32Array): Promise<{ of: number; norm: number }[]> {
    const shape = this.base.shape(name);
    const columns = shape.at(-1)!;
    const parts = PARTS_OF[name.replace(/^h\.\d+\.|\.(weight|bias)$/g, "")]?.length ?? 1;
    const sums = Array.from({ length: parts }, () => ({ of: 0, norm: 0 }));
    const rowWidth = numel(shape) / shape[0]!;
    const step = Math.max(1, Math.floor(PIECE / rowWidth));
    for (let first = 0; first < shape[0]!; first += step) {
      const piece = await this.base.read(name, first, Math.min(shape[0]!, first + step));
      for (let i = 0; i < piece.length; i++) {
        const at = first * rowWidth + i;
        const sum = sums[Math.floor(((at % columns) * parts) / columns)]!;
        sum.of += piece[i]! ** 2;
        if (trained) sum.norm += (trained[at]! - piece[i]!) ** 2;
      }
    }
    return sums.map(({ of, norm }) => ({ of: Math.sqrt(of), norm: Math.sqrt(norm) }));
  }
}
