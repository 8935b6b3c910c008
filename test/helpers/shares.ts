/** Members for the tests of ops, with consecutive shares of a batch. */
import type { StepValues } from "../../src/ops/kernel.ts";
import { encodeShares, NO_SHARE, SHARE, type Share, type Shares, tableShape } from "../../src/ops/shares.ts";
import { numel, Tensor } from "../../src/tensor.ts";
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
  const rows = { tokens: token, sequences: sequence };
  const words = new Uint32Array(numel(tableShape(SHARE)));
  encodeShares(words, new Tensor("shares", [words.length], "input"), rows, list);
  const largest = (key: keyof Share) => Math.max(...list.map((share) => share[key]));
  return {
    shares: c.of("shares", tableShape(SHARE), words),
    members: list.length,
    list,
    values: {
      ...rows,
      share_tokens: largest("tokens"),
      share_sequences: largest("sequences"),
    },
  };
}
