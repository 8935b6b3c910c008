/** Members for the tests of ops: consecutive shares, and results that must equal those of a member's own plan. */
import type { StepValues } from "../../src/ops/kernel.ts";
import { encodeTable, NO_SHARE, SHARE, type Share, type Shares, tableShape } from "../../src/ops/shares.ts";
import { alignView, type Tensor, VIEW_ALIGN } from "../../src/tensor.ts";
import { assertSameBits } from "./border.ts";
import { DEVICE_NAMES } from "./device.ts";
import type { OpCase } from "./op-case.ts";

/** The members of a case, their shares, and the step values that follow from them. */
export interface Batch extends Required<Shares> {
  list: readonly Share[];
  values: Pick<StepValues, "tokens" | "sequences" | "share_tokens" | "share_sequences">;
}

/** Members with these shares, each behind the one before; a field that is not given is that of NO_SHARE. */
export function members(c: OpCase, given: readonly Partial<Omit<Share, "token" | "sequence">>[]): Batch {
  let [token, sequence] = [0, 0];
  const list = given.map((one): Share => {
    const share = { ...NO_SHARE, ...one, token, sequence };
    token += share.tokens;
    sequence += share.sequences;
    return share;
  });
  const largest = (key: keyof Share) => Math.max(...list.map((share) => share[key]));
  return {
    shares: c.of("shares", tableShape(SHARE), encodeTable(SHARE, list)),
    members: list.length,
    list,
    values: {
      tokens: token,
      sequences: sequence,
      share_tokens: largest("tokens"),
      share_sequences: largest("sequences"),
    },
  };
}

/** These pages in one buffer, as the model's are; what `filler` makes is before, between and behind them. */
export function layOut(
  pages: readonly Float32Array[],
  filler: (count: number) => Float32Array,
): { whole: Float32Array; offsets: number[] } {
  let size = VIEW_ALIGN;
  const offsets = pages.map(({ length }) => {
    const offset = size;
    size += alignView(length) + VIEW_ALIGN;
    return offset;
  });
  const whole = filler(size);
  for (const [i, page] of pages.entries()) whole.set(page, offsets[i]!);
  return { whole, offsets };
}

/** The members' rows of `width` numbers, one share behind the other; NaN in the others of `room` rows. */
export function packRows(rows: readonly Float32Array[], width: number, room: number): Float32Array {
  const packed = new Float32Array(room * width).fill(Number.NaN);
  let at = 0;
  for (const one of rows) {
    packed.set(one, at);
    at += one.length;
  }
  return packed;
}

/** A program of one member, and where in the results of a program of several its own must lie. */
export interface Alone {
  c: OpCase;
  values: Partial<StepValues>;
  parts: readonly { own: Tensor; whole: Tensor; at: number }[];
}

/** On every device, each member's results must have the bits of those of its own program. */
export async function assertSameAlone(
  c: OpCase,
  values: Partial<StepValues>,
  alone: readonly Alone[],
  devices: readonly string[] = DEVICE_NAMES,
): Promise<void> {
  const wholes = [...new Set(alone.flatMap(({ parts }) => parts.map(({ whole }) => whole)))];
  for (const device of devices) {
    const together = await c.results(values, wholes, device);
    for (const [member, { c, values, parts }] of alone.entries()) {
      const found = await c.results(
        values,
        parts.map(({ own }) => own),
        device,
      );
      parts.forEach(({ own, whole, at }, i) => {
        const one = together[wholes.indexOf(whole)]!.slice(at, at + own.size);
        assertSameBits(`${own.name} of member ${member} on ${device}`, one, found[i]!);
      });
    }
  }
}
