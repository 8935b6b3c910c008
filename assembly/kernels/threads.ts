// The slice of every dispatch that this instance computes, and the barrier between instances. All instances share one
// memory and run the same list; each has its own globals.
//
// Slices are whole blocks of results, and every result is computed by one thread, in an order that does not depend on
// the slice. Results therefore have the same bits for any number of threads.

/**
 * Spins before a thread sleeps, about 100 microseconds: waking a thread takes longer than most dispatches. If spinning
 * did not help, because the cores are busy with other processes, the number is halved.
 */
const MOST_TURNS: i32 = 100000;
const FEWEST_TURNS: i32 = 1000;

let turns: i32 = MOST_TURNS;

let thread: u32 = 0;
let threads: u32 = 1;
let scratch: usize = 0;
/** Two words in shared memory, which only grow: arrivals at barriers, and barriers that all threads have passed. */
let barrier_state: usize = 0;
/** The barriers that this thread has passed. */
let passed: i32 = 0;

/** Bytes of scratch memory per thread, allocated by the host. */
export const SCRATCH_BYTES: u32 = 5 << 19;

/**
 * Sets this instance's index, the number of instances, its scratch memory, the barrier's words (initially 0), and how
 * many barriers these instances have passed.
 */
export function configure(index: u32, count: u32, scratch_at: usize, barrier_at: usize, passed_before: i32): void {
  thread = index;
  threads = count;
  scratch = scratch_at;
  barrier_state = barrier_at;
  passed = passed_before;
}

/** Bytes of scratch memory that `configure` needs. */
export function scratch_bytes(): u32 {
  return SCRATCH_BYTES;
}

/** This thread's SCRATCH_BYTES, aligned to 64. */
export function scratch_memory(): usize {
  return scratch;
}

export function thread_count(): u32 {
  return threads;
}

/** Whether this thread does the work that is too small to split. */
export function is_first(): bool {
  return thread == 0;
}

/** The start of this thread's slice of `count` units; slices are whole blocks of `block` units. */
export function slice_begin(count: u32, block: u32): u32 {
  return slice_at(thread, count, block);
}

/** The end of this thread's slice. */
export function slice_end(count: u32, block: u32): u32 {
  return slice_at(thread + 1, count, block);
}

function slice_at(index: u32, count: u32, block: u32): u32 {
  const blocks: u64 = (count + block - 1) / block;
  return min<u32>(count, <u32>((blocks * index) / threads) * block);
}

/**
 * Waits until every thread has arrived; all their writes are then visible. Traps where threads are out of step: of one
 * arrival too many, one thread is too late for its barrier, whoever went on without it. So the host asks for one more
 * barrier behind a list: nobody passes that before all have passed the others.
 */
export function barrier(): void {
  if (threads == 1) return;
  const before = passed++;
  const arrived: u32 = atomic.add<i32>(barrier_state, 1) - before * threads;
  if (arrived >= threads) unreachable();
  if (arrived == threads - 1) {
    if (atomic.add<i32>(barrier_state, 1, 4) != before) unreachable();
    atomic.notify(barrier_state + 4);
    return;
  }
  for (let i = 0; i < turns; i++) {
    if (atomic.load<i32>(barrier_state, 4) != before) {
      turns = min(turns * 2, MOST_TURNS);
      return;
    }
  }
  turns = max(turns / 2, FEWEST_TURNS);
  while (atomic.load<i32>(barrier_state, 4) == before) atomic.wait<i32>(barrier_state + 4, before, -1);
}
