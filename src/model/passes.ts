/** Passes over a model's graph: methods and tasks add layers before, behind and between those that are there. */
import { magnitudeName } from "../core/names.ts";
import type { Layer, Section, Value } from "./graph.ts";
import type { Parameters } from "./parameters.ts";

export type Pass = (layers: readonly Layer[]) => Layer[];

/** Applies passes to sections, one after the other. */
export const applyPasses = (sections: readonly Section[], passes: readonly Pass[]): Section[] =>
  sections.map((section) => ({ ...section, layers: passes.reduce((layers, pass) => pass(layers), section.layers) }));

/** DoRA: a layer behind each matrix that has a magnitude, which scales its outputs. */
export const addScales =
  ({ all }: Parameters): Pass =>
  (layers) =>
    layers.flatMap((layer): Layer[] => {
      if (layer.kind !== "linear" || !layer.place || !all.has(magnitudeName(layer.place))) return [layer];
      const z = { ...layer.out, name: `${layer.name}.z` };
      return [
        { ...layer, isBare: true, out: z },
        { kind: "scale", place: layer.place, inputs: [z], out: layer.out },
      ];
    });

/** Houlsby's adapter layers: what half a block adds to the residual stream is z + up(gelu(down(z))). */
export const addBottlenecks =
  ({ all }: Parameters): Pass =>
  (layers) =>
    layers.flatMap((layer): Layer[] => {
      const [residual, z] = layer.inputs as [Value, Value];
      const name = z?.name.replace("c_proj", "adapter");
      const width = all.get(`${name}.down.bias`)?.shape[0];
      if (layer.kind !== "add" || width === undefined) return [layer];
      const value = (part: string, columns: number): Value => ({ name: `${name}.${part}`, columns });
      const [sum, up] = [value("sum", z.columns), value("up", z.columns)];
      const [down, hidden] = [value("down", width), value("hidden", width)];
      return [
        { kind: "add", inputs: [residual, z], out: sum },
        { kind: "linear", name: down.name, inputs: [z], out: down },
        { kind: "activate", by: "gelu_new", inputs: [down], out: hidden },
        { kind: "linear", name: up.name, inputs: [hidden], out: up },
        { ...layer, inputs: [sum, up] },
      ];
    });

/** Prefix tuning: room for n keys and values behind those of the batch. */
export const addRoom =
  (n: number): Pass =>
  (layers) => {
    for (const { kind, inputs } of layers.toReversed())
      if (kind === "attention" || kind === "rotate") for (const value of inputs) value.room = n;
    return [...layers];
  };

/** The layers behind an attention, and the values before it that they read. */
interface Behind {
  live: Value[];
  behind: Layer[];
}

/** The layers of a section up to its attention, and what is behind it. */
export function cutBehindAttention({ input, layers }: Section): Behind & { before: Layer[] } {
  const end = layers.findIndex(({ kind }) => kind === "attention") + 1;
  const [before, behind] = [layers.slice(0, end), layers.slice(end)];
  const read = new Set(behind.flatMap(({ inputs }) => inputs));
  return { before, live: [input!, ...before.map(({ out }) => out)].filter((value) => read.has(value)), behind };
}

/** The same layers on selected rows: those that sequences are classified at, or whose next tokens are predicted. */
export function selectLive({ live, behind }: Behind): Layer[] {
  const selected = new Map(live.map((value) => [value, { ...value, name: `${value.name}.selected` }]));
  return [
    ...[...selected].map(([value, out]) => ({ kind: "select", isMean: false, inputs: [value], out }) as const),
    ...behind.map((layer) => ({ ...layer, inputs: layer.inputs.map((value) => selected.get(value) ?? value) })),
  ];
}

/**
 * The sections of a classifier. Behind the last attention one row a sequence is enough, so that everything after it
 * runs on these rows (`isEarly`); otherwise they are selected, or the means of ranges of rows taken, behind the final
 * norm.
 */
export function selectRows(sections: readonly Section[], isEarly: boolean): Section[] {
  const final = sections.at(-1)!;
  const pooled = { ...final.output, name: "pooled" };
  if (!isEarly)
    return [
      ...sections,
      {
        input: final.output,
        layers: [{ kind: "select", isMean: true, inputs: [final.output], out: pooled }],
        output: pooled,
      },
    ];
  const last = sections.at(-2)!;
  const cut = cutBehindAttention(last);
  return [
    ...sections.slice(0, -2),
    { ...last, layers: [...cut.before, ...selectLive(cut)] },
    { ...final, layers: final.layers.map((layer) => ({ ...layer, out: pooled })), output: pooled },
  ];
}
