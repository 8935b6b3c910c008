// The interpreter: runs a list of dispatches, with a barrier behind each, so that a step is one call.
import { adamw } from "./adamw";
import {
  attention_cached,
  attention_forward,
  attention_keyvalue_backward,
  attention_query_backward,
} from "./attention";
import { cache_write } from "./cache";
import { crossentropy_backward, crossentropy_forward, crossentropy_loss } from "./crossentropy";
import { embedding_backward, embedding_forward, embedding_position_backward } from "./embedding";
import { gather_backward, gather_forward } from "./gather";
import { gelu_backward, gelu_forward } from "./gelu";
import { gradnorm_partial, gradnorm_total } from "./gradnorm";
import { layernorm_backward, layernorm_forward, layernorm_parameters_backward } from "./layernorm";
import { matmul_bias_backward, matmul_few, matmul_panels, matmul_tall, matmul_wide, Product } from "./matmul";
import { residual_forward } from "./residual";
import { barrier, slice_begin, slice_end } from "./threads";

/** Bytes from one record to the next: the operation's number, then its arguments, a word each. */
export const RECORD_BYTES: u32 = 96;

export function record_bytes(): u32 {
  return RECORD_BYTES;
}

/** Argument number i of a record as an unsigned integer. */
function word(at: usize, i: u32): u32 {
  return load<u32>(at + (i << 2), 4);
}

/** Argument number i of a record as a float. */
function real(at: usize, i: u32): f32 {
  return load<f32>(at + (i << 2), 4);
}

/** Fills this thread's slice of a tensor of `count` words with zeros. */
function clear(tensor: usize, count: u32): void {
  const begin = slice_begin(count, 16);
  memory.fill(tensor + (begin << 2), 0, (slice_end(count, 16) - begin) << 2);
}

/** Runs `count` records from `list` on. */
export function replay(list: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    run(list + i * RECORD_BYTES);
    barrier();
  }
}

/** Operations by number: clear, matmul_panels, then the plan's kernels in the order of src/ops/kernels.ts. */
function run(at: usize): void {
  switch (load<u32>(at)) {
    case 0:
      return clear(word(at, 0), word(at, 1));
    case 1:
      return matmul_panels(changetype<Product>(at + 4));
    case 2:
      return adamw(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        word(at, 7),
        real(at, 8),
        real(at, 9),
        real(at, 10),
        real(at, 11),
        real(at, 12),
        real(at, 13),
        real(at, 14),
        real(at, 15),
        real(at, 16),
      );
    case 3:
      return attention_cached(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        word(at, 7),
      );
    case 4:
      return attention_forward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
      );
    case 5:
      return attention_keyvalue_backward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        word(at, 7),
        word(at, 8),
      );
    case 6:
      return attention_query_backward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        word(at, 7),
        word(at, 8),
        word(at, 9),
      );
    case 7:
      return cache_write(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4), word(at, 5), word(at, 6));
    case 8:
      return crossentropy_backward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        real(at, 7),
      );
    case 9:
      return crossentropy_forward(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4), word(at, 5));
    case 10:
      return crossentropy_loss(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4), real(at, 5));
    case 11:
      return embedding_backward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        word(at, 7),
        word(at, 8),
      );
    case 12:
      return embedding_forward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        word(at, 7),
        word(at, 8),
        word(at, 9),
        word(at, 10),
      );
    case 13:
      return embedding_position_backward(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4), word(at, 5));
    case 14:
      return gather_backward(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4));
    case 15:
      return gather_forward(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4));
    case 16:
      return gelu_backward(word(at, 0), word(at, 1), word(at, 2), word(at, 3));
    case 17:
      return gelu_forward(word(at, 0), word(at, 1), word(at, 2), word(at, 3));
    case 18:
      return gradnorm_partial(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4));
    case 19:
      return gradnorm_total(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4));
    case 20:
      return layernorm_backward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        real(at, 7),
      );
    case 21:
      return layernorm_forward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
        real(at, 7),
      );
    case 22:
      return layernorm_parameters_backward(
        word(at, 0),
        word(at, 1),
        word(at, 2),
        word(at, 3),
        word(at, 4),
        word(at, 5),
        word(at, 6),
      );
    case 23:
      return matmul_bias_backward(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4), word(at, 5));
    case 24:
      return matmul_few(changetype<Product>(at + 4));
    case 25:
      return matmul_tall(changetype<Product>(at + 4));
    case 26:
      return matmul_wide(changetype<Product>(at + 4));
    case 27:
      return residual_forward(word(at, 0), word(at, 1), word(at, 2), word(at, 3), word(at, 4));
    default:
      unreachable();
  }
}
