// The gradients of adapters: dA [r, input] += ddown^T x and dB [width, r] += dy^T down, each over the rows of its
// member.
import { LoraBackward, LoraBackwardJob, Share } from "./generated/records";
import { multiply_any, set_output } from "./product";
import { entry, first_row, row_count } from "./shares";

/** As in src/ops/lora.ts. */
export function lora_backward(p: LoraBackward): void {
  for (let i: u32 = 0; i < p.count; i++) {
    const job = entry<LoraBackwardJob>(p.jobs, i);
    const share = entry<Share>(p.shares, job.member);
    const first = first_row(share, job.by_sequence);
    const rows = row_count(share, job.by_sequence);
    if (rows == 0) continue;
    const x = (job.second ? p.x2 : p.x) + ((<usize>first * job.input) << 2);
    const dy = (job.second ? p.dy2 : p.dy) + ((<usize>first * job.dy_row + job.column) << 2);
    const down = p.down + ((<usize>job.down_at) << 2);
    const ddown = p.ddown + ((<usize>job.down_at) << 2);
    set_output(p.grad + ((<usize>job.a_at) << 2), job.input << 2, 0, 1, 1);
    multiply_any(ddown, 1, job.down_row, x, job.input, 1, 0, job.r, job.input, rows);
    set_output(p.grad + ((<usize>job.b_at) << 2), job.r << 2, 0, 1, 1);
    multiply_any(dy, 1, job.dy_row, down, job.down_row, 1, 0, job.width, job.r, rows);
  }
}
