/** Encodes a program as the records that the interpreter in kernels.wasm (assembly/kernels/replay.ts) runs. */

import type { Tensor } from "../core/tensor.ts";
import { type Dispatch, isGemv, type StepValues, tensorAt } from "../ops/kernel.ts";
import type { Program, SegmentName } from "../plan/plan.ts";
import { OPERATIONS, RECORD_WORDS } from "./generated/operations.ts";

/** An argument that changes from step to step. */
interface Patch {
  word: number;
  value: keyof StepValues;
  isFloat: boolean;
}

/** A part of the list, in records. */
interface Range {
  first: number;
  count: number;
}

interface ListPart extends Range {
  patches: Patch[];
}

/** The name of the function for a dispatch; `panels` are the weights stored in panels. */
export function chooseOperation(dispatch: Dispatch, panels: ReadonlySet<Tensor>): string {
  const { name, inBlocks, inPanels, gemv } = dispatch.kernel;
  if (inPanels && panels.has(tensorAt(dispatch, inBlocks!))) return `${name}_panels`;
  return gemv && isGemv(dispatch) ? `${name}_gemv` : name;
}

export function countRecords({ segments }: Program): number {
  return segments.reduce((sum, { clears, dispatches }) => sum + clears.length + dispatches.length, 0);
}

export class RecordList {
  readonly words: Uint32Array<ArrayBuffer>;
  private readonly floats: Float32Array<ArrayBuffer>;
  /** The operation of each record, for timing. */
  readonly names: string[] = [];
  private readonly parts = new Map<SegmentName, ListPart>();

  /** `address` returns the address of a tensor; `panels` are the weights stored in panels. */
  constructor(
    program: Program,
    private readonly address: (tensor: Tensor) => number,
    private readonly panels: ReadonlySet<Tensor>,
  ) {
    this.words = new Uint32Array(countRecords(program) * RECORD_WORDS);
    this.floats = new Float32Array(this.words.buffer);
    for (const { name, clears, dispatches } of program.segments) {
      const part: ListPart = { first: this.names.length, count: clears.length + dispatches.length, patches: [] };
      for (const tensor of clears) {
        const word = this.add("clear");
        this.words[word] = address(tensor);
        this.words[word + 1] = tensor.size;
      }
      for (const dispatch of dispatches) this.encode(dispatch, part.patches);
      this.parts.set(name, part);
    }
  }

  /** The ranges of records of these segments, with adjacent ranges merged, once the step values are in `words`. */
  select(names: readonly SegmentName[], values: StepValues): Range[] {
    const ranges: Range[] = [];
    for (const name of names) {
      const { first, count, patches } = this.parts.get(name)!;
      for (const { word, value, isFloat } of patches) {
        if (isFloat) this.floats[word] = values[value];
        else this.words[word] = values[value];
      }
      const before = ranges.at(-1);
      if (before && before.first + before.count === first) before.count += count;
      else if (count > 0) ranges.push({ first, count });
    }
    return ranges;
  }

  /** The first record of a segment. */
  first(name: SegmentName): number {
    return this.parts.get(name)!.first;
  }

  /** Begins a record; returns the index of its first argument. */
  private add(operation: string): number {
    const word = this.names.length * RECORD_WORDS;
    this.words[word] = OPERATIONS.indexOf(operation);
    this.names.push(operation);
    return word + 1;
  }

  private encode(dispatch: Dispatch, patches: Patch[]): void {
    const { kernel, tensors, scalars } = dispatch;
    let word = this.add(chooseOperation(dispatch, this.panels));
    for (const tensor of tensors) this.words[word++] = tensor ? this.address(tensor) : 0;
    const types = Object.values(kernel.dims);
    scalars.forEach((scalar, i) => {
      const isFloat = types[i] === "f32";
      if (typeof scalar === "string") patches.push({ word, value: scalar, isFloat });
      else if (isFloat) this.floats[word] = scalar;
      else this.words[word] = scalar;
      word++;
    });
  }
}
