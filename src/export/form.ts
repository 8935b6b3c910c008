/** A form in which a trained model is exported: what each of them is asked, and what it gives. */

import type { CommonDtype } from "../core/tensor.ts";
import type { OpenedAdapter } from "../io/peft/open-adapter.ts";
import type { FinalNorm } from "../io/peft/peft.ts";
import type { FileContent } from "../platform/reader.ts";
import type { BaseName } from "../record/base-name.ts";
import type { RunRecord } from "../record/record.ts";
import type { Usage } from "./usage.ts";

/** The sources of a form's files. */
export interface Source extends OpenedAdapter {
  /** The base model's last norm, into which a head's bias can be folded; undefined: there is none, or no such head. */
  finalNorm: FinalNorm | undefined;
  base: BaseName;
  /** Of its run; an adapter from elsewhere has none. */
  record: RunRecord | undefined;
}

export interface FormOptions {
  /** The type of the weights, one of the form's; undefined: its first. */
  dtype: CommonDtype | undefined;
  /** Copies the base model next to an adapter. */
  withBase: boolean;
  /** The page's statement of it; undefined: the page asks. */
  title: string | undefined;
}

/**
 * An export, except for its README; the contents of its files are created when they are written. Chunks tell their
 * bytes (`sized`): the page shows them before a download.
 */
interface Exported {
  files: Map<string, FileContent>;
  notes: string[];
  /** The library by which the hub knows such files; none: no library reads them. */
  library?: string;
  /** It is read together with the base model. */
  isAdapter?: true;
  title: string;
  /** Notes before it is used. */
  warning?: string;
  /** How it is used in its own directory. */
  usages: Usage[];
}

/** Throws ConfigError if the model has no such form. */
export type PlanForm = (source: Source, options: FormOptions) => Promise<Exported>;

/** Chunks whose bytes are known before they are made. */
interface SizedChunks extends AsyncIterable<Uint8Array> {
  readonly bytes: number;
}

export const sized = (bytes: number, chunks: () => AsyncIterable<Uint8Array>): SizedChunks => ({
  bytes,
  [Symbol.asyncIterator]: () => chunks()[Symbol.asyncIterator](),
});

/** The bytes of a file before it is written; null: its chunks do not tell. */
export function contentBytes(content: FileContent): number | null {
  if (typeof content === "string") return new TextEncoder().encode(content).length;
  if (content instanceof Uint8Array) return content.length;
  return "bytes" in content ? (content as SizedChunks).bytes : null;
}
