// Which part of every dispatch this instance does, and how instances wait for each other. All instances share one memory and
// run the same list; globals are an instance's own.
//
// A slice never decides how a number is made: slices are whole blocks of results, and every result is one thread's work, in
// an order that does not depend on the slice. So results are the same bits for any number of threads.

/**
 * Turns around the barrier before a thread goes to sleep, some 100 microseconds: to wake one that sleeps costs all threads more
 * than most dispatches take. Where the turns were in vain, because the processor is busy with others, half as many follow.
 */
const MOST_TURNS: i32 = 100000;
const FEWEST_TURNS: i32 = 1000;

let turns: i32 = MOST_TURNS;

let thread: u32 = 0;
let threads: u32 = 1;
let scratch: usize = 0;
/** Two words in shared memory: threads that have arrived, and the barrier's turn. */
let barrier_state: usize = 0;

/** Scratch memory of each thread, in bytes; the host sets it aside. */
export const SCRATCH_BYTES: u32 = 2 << 20;

/** Tells an instance its number, how many there are, its scratch memory, and the barrier's two words (zero at first). */
export function configure(index: u32, count: u32, scratch_at: usize, barrier_at: usize): void {
  thread = index;
  threads = count;
  scratch = scratch_at;
  barrier_state = barrier_at;
}

/** How many bytes of scratch memory `configure` must be given. */
export function scratch_bytes(): u32 {
  return SCRATCH_BYTES;
}

/** SCRATCH_BYTES of this thread's own, aligned to 64. */
export function scratch_memory(): usize {
  return scratch;
}

export function thread_count(): u32 {
  return threads;
}

/** Whether this is the thread that does what is too small to be shared. */
export function is_first(): bool {
  return thread == 0;
}

/** Where this thread's slice of `count` units begins; slices are whole blocks of `block` units. */
export function slice_begin(count: u32, block: u32): u32 {
  return slice_at(thread, count, block);
}

/** Where this thread's slice ends. */
export function slice_end(count: u32, block: u32): u32 {
  return slice_at(thread + 1, count, block);
}

function slice_at(index: u32, count: u32, block: u32): u32 {
  const blocks: u64 = (count + block - 1) / block;
  return min<u32>(count, <u32>((blocks * index) / threads) * block);
}

/** Returns once every thread has come here, with everything that they wrote visible. */
export function barrier(): void {
  if (threads == 1) return;
  const turn = atomic.load<i32>(barrier_state, 4);
  if (atomic.add<i32>(barrier_state, 1) == <i32>threads - 1) {
    atomic.store<i32>(barrier_state, 0);
    atomic.add<i32>(barrier_state, 1, 4);
    atomic.notify(barrier_state + 4);
    return;
  }
  for (let i = 0; i < turns; i++) {
    if (atomic.load<i32>(barrier_state, 4) != turn) {
      turns = min(turns * 2, MOST_TURNS);
      return;
    }
  }
  turns = max(turns / 2, FEWEST_TURNS);
  while (atomic.load<i32>(barrier_state, 4) == turn) atomic.wait<i32>(barrier_state + 4, turn, -1);
}
