// A linear layer over the rows of each job's member, with its adapters.
//
//   jobs    (read)  of each member, its adapters
//   shares  (read)  the members' rows

fn first_of(batch: u32) -> u32 {
  return first_row(jobs[batch].member, dims.by_sequence);
}

fn rows_of(batch: u32) -> u32 {
  return row_count(jobs[batch].member, dims.by_sequence);
}

fn adapters_of(batch: u32) -> Adapters {
  let job = jobs[batch];
  return Adapters(
    job.count,
    job.r,
    job.stride,
    job.up_offset,
    job.up_row,
    job.up_col,
    job.column,
    job.step,
    job.width,
    job.skew,
    job.down_offset,
  );
}
