/**
 * The backward list of a plan, which mirrors the forward list in model.ts, in llm.c's manner. Only what trains loads
 * it.
 *
 * Letters: N packed tokens, B sequences, C n_embd.
 */
import { attentionBackward } from "../ops/attention.ts";
import { crossentropyBackward } from "../ops/crossentropy.ts";
import { embeddingBackward, embeddingPositionBackward } from "../ops/embedding.ts";
import type { Dispatch, Use } from "../ops/kernel.ts";
import { shareRows } from "../ops/shares.ts";
import type { Tensor } from "../tensor.ts";
import { BackwardLayers } from "./backward-layers.ts";
import { BackwardPrefix } from "./backward-prefix.ts";
import { HEAD, promptRows, rowTensor } from "./layers.ts";
import type { Forward, Loss, SavedBlock } from "./model.ts";
import { only } from "./parameters.ts";

export class Backward {
  readonly list: Dispatch[] = [];
  /** Blocks whose activations are recomputed. */
  recomputed = 0;
  private readonly b: BackwardLayers;
  private readonly prefix: BackwardPrefix | null;

  constructor(
    private readonly forward: Forward,
    loss: Loss,
  ) {
    const { blocks, common, options, prefix } = forward;
    this.b = new BackwardLayers(common, this.list);
    this.prefix = prefix && new BackwardPrefix(prefix, this.b);
    let dx = this.loss(loss);
    for (const [i, block] of blocks.toReversed().entries())
      dx &&= options.recompute && i > 0 ? this.recomputedBlock(block, dx) : this.block(block, dx);
    this.prefix?.backward();
    if (dx) this.embedding(dx);
  }

  /** Gradients of the head and the final norm; returns the gradient of the last block's output, or null. */
  private loss({ final, head, state, pieces }: Loss): Tensor | null {
    const { b } = this;
    const { batch, options } = this.forward;
    const { valueLoss } = options;
    const { n_embd: C } = b.config;
    const { rows } = head;
    const dout = b.trainsBelow(HEAD) ? rowTensor("dhead", rows, [C]) : null;
    for (const piece of pieces) {
      let { logits } = piece;
      if (pieces.length > 1) {
        // Recomputed into a new tensor: the forward pass's logits would otherwise stay in memory, all pieces at once.
        logits = rowTensor("logits", rows, [piece.classes]);
        b.logits(head, piece, logits);
      }
      const dlogits = rowTensor("dlogits", rows, [piece.classes]);
      b.emit(
        valueLoss
          ? valueLoss.backward(dlogits, logits, batch, rows.count, piece.first)
          : crossentropyBackward(dlogits, logits, state, batch, shareRows(rows.count), piece.first, batch),
      );
      b.headBackward(head, piece, dlogits, dout);
    }
    b.headAdaptersBackward(head, dout);
    if (!dout || !final.norm) return null;
    const dnorm = final.norm.rows === rows ? dout : b.scatter(dout, batch.selected, final.norm.rows);
    return b.normBackward(final.norm, dnorm).dx;
  }

  /** Gradients of a block from dx, the gradient of its output; returns its input's, or null if none is needed. */
  private block(block: SavedBlock, dx: Tensor): Tensor | null {
    const { l, keys, att, lse, read } = block;
    const { norm, qkv } = block.queries;
    const { linear: attProj } = block.attProj;
    const { b } = this;
    const { architecture, batch, prefix, shift } = this.forward;
    const { n_head } = b.config;
    // x2 = x1 + mlp(ln_2(x1))
    const dx1 = architecture.mlpBackward(b, block.mlp, dx);
    // x1 = x + c_proj(attention(c_attn(ln_1(x))))
    const dattProj = dx1 && b.outputBackward(block.attProj, dx1);
    if (!dx1 || !dattProj) return null;
    const dread = b.linearBackward(attProj, dattProj);
    if (!dread) {
      b.gradients({ of: attProj, x: read, dy: dattProj });
      return null;
    }
    const isGathered = attProj.rows !== qkv.rows;
    const datt = isGathered ? b.scatter(dread, batch.selected, qkv.rows) : dread;
    const dx0 = isGathered && b.trainsBelow(norm.weight) ? b.scatter(dx1, batch.selected, qkv.rows) : dx1;
    const dkeys = prefix ? prefix.room(`d${qkv.name}`) : rowTensor(`d${qkv.name}`, qkv.rows, qkv.out.shape.slice(1));
    const dqkv = prefix ? prefix.tokenRows(dkeys) : dkeys;
    const delta = rowTensor(`h.${l}.delta`, qkv.rows, [n_head]);
    b.emit(...attentionBackward(dkeys, delta, datt, att, lse, keys, batch.bounds, b.heads(l), prefix?.rows));
    this.prefix?.read(dkeys, l);
    architecture.queriesBackward(b, dqkv, { bounds: batch.bounds, shift });
    const dnorm = b.linearBackward(qkv, dqkv);
    const below = dnorm ? b.normBackward(norm, dnorm, dx0) : { dx: null, out: () => b.normAgain(norm) };
    b.gradients({ of: attProj, x: read, dy: dattProj }, { of: qkv, x: below.out, dy: dqkv });
    return below.dx;
  }

  /**
   * The same after recomputing the block's forward pass into new tensors, so that the first ones are free once they
   * have been read. What the backward pass does not read, such as the block's output, is left out.
   */
  private recomputedBlock({ l, input, output }: SavedBlock, dx: Tensor): Tensor | null {
    const { list } = this;
    const first = list.length;
    const block = this.forward.block(this.b, l, input, output);
    const end = list.length;
    const below = this.block(block, dx);
    const rest = list.splice(first);
    const again = needed(rest.slice(0, end - first), rest.slice(end - first));
    list.push(...again, ...rest.slice(end - first));
    if (again.length > 0) this.recomputed++;
    return below;
  }

  private embedding(dx: Tensor): void {
    const { b } = this;
    const { batch, parameters, tokenDown, tokens, options } = this.forward;
    const [wte, wpe] = [b.parameter("wte.weight"), parameters.all.get("wpe.weight")];
    const { ids, byId, starts } = batch;
    const prompt = parameters.all.get("prompt.weight");
    const table = prompt?.grad ? promptRows(prompt.grad, options.spec) : wte.grad;
    if (table && byId) b.emit(...embeddingBackward(table, dx, ids, byId.sorted, byId.groups));
    if (tokenDown) b.tokenAdapterBackward(dx, tokenDown, tokens, batch);
    if (wpe?.grad) b.emit(embeddingPositionBackward(only(wpe.grad), dx, starts));
  }
}

/** The dispatches of a list, in their order, whose results are read later in the list or in the one behind it. */
function needed(list: readonly Dispatch[], behind: readonly Dispatch[]): Dispatch[] {
  const bound = ({ tensors, access }: Dispatch, uses: readonly Use[]) =>
    tensors.filter((_, i) => uses.includes(access[i]!)).map(({ root }) => root);
  const reads = (dispatch: Dispatch) => bound(dispatch, ["read", "update"]);
  const read = new Set(behind.flatMap(reads));
  const kept = list.toReversed().filter((dispatch) => {
    const isNeeded = bound(dispatch, ["write", "update"]).some((root) => read.has(root));
    if (isNeeded) for (const root of reads(dispatch)) read.add(root);
    return isNeeded;
  });
  return kept.reverse();
}
