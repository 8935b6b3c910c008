/** The head of a model card: what the Hugging Face hub reads of a README.md. */
import type { AdapterMeta } from "../io/peft.ts";
import type { BaseName } from "./directory.ts";

/** What a run measured on its test set, with the hub's name of it. */
export interface Measured {
  type: "accuracy" | "perplexity";
  value: number;
}

export interface Card {
  title: string;
  meta: AdapterMeta;
  base: BaseName;
  /** What loads the model; null: neither does. */
  library: "peft" | "transformers" | null;
  /** The name of the data set or file; null: unknown. */
  data: string | null;
  measured: Measured | null;
}

/** The lines of the front matter. A value in JSON is one in YAML, too. The hub knows no base model in a folder. */
export function frontMatter({ title, meta, base, library, data, measured }: Card): string[] {
  const task = meta.task.objective === "classification" ? "text-classification" : "text-generation";
  const entries: Record<string, unknown> = {
    base_model: base.place === "folder" ? null : base.name,
    library_name: library,
    pipeline_tag: task,
  };
  if (data !== null && measured !== null) {
    const results = [{ task: { type: task }, dataset: { name: data, type: data }, metrics: [measured] }];
    entries.metrics = [measured.type];
    entries["model-index"] = [{ name: title, results }];
  }
  const lines = Object.entries(entries).flatMap(([key, value]) =>
    value === null ? [] : [`${key}: ${JSON.stringify(value)}`],
  );
  return ["---", ...lines, "---", ""];
}
