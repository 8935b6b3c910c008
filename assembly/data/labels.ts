// Maps label names to class ids. Ids are assigned in the order of first occurrence; `labels_settle` sorts them.
import { VEC_HEADER, vec_append, vec_data, vec_free, vec_push_u32, vec_set_u32, vec_size, vec_u32 } from "./vec";

const names = memory.data(VEC_HEADER);
const ends = memory.data(VEC_HEADER);
/** u32 per label: the line where it occurs first, 0 if it does not. */
const lines = memory.data(VEC_HEADER);

/** Hash table with open addressing: u32 slots of id + 1, 0 if empty; a power of two, at most half full. */
let slots: usize = 0;
let slot_count: i32 = 0;

/** Clears all labels. */
export function labels_clear(): void {
  vec_free(names);
  vec_free(ends);
  vec_free(lines);
  if (slots != 0) heap.free(slots);
  slots = 0;
  slot_count = 0;
}

/** The line where label `id` occurs first. */
export function label_line(id: i32): i32 {
  return vec_u32(lines, id);
}

/** The number of labels. */
export function label_count(): i32 {
  return vec_size(ends) >> 2;
}

/** The address and length in bytes of the name of label `id`. */
export function label_name(id: i32): usize {
  return vec_data(names) + start_of(id);
}
export function label_bytes(id: i32): i32 {
  return <i32>vec_u32(ends, id) - start_of(id);
}

function start_of(id: i32): i32 {
  return id == 0 ? 0 : <i32>vec_u32(ends, id - 1);
}

/** FNV-1a with a final mix, because the table uses the low bits. */
function hash(name: usize, length: i32): i32 {
  let h: u32 = 0x811c9dc5;
  for (let i = 0; i < length; i++) h = (h ^ <u32>load<u8>(name + i)) * 0x01000193;
  return h ^ (h >> 15);
}

/** The slot of the name, or the empty slot for it. */
function find_slot(name: usize, length: i32): usize {
  const mask = slot_count - 1;
  let i = hash(name, length) & mask;
  while (true) {
    const slot = slots + ((<usize>i) << 2);
    const id = load<i32>(slot) - 1;
    if (id < 0) return slot;
    if (label_bytes(id) == length && memory.compare(label_name(id), name, length) == 0) return slot;
    i = (i + 1) & mask;
  }
}

/** The id of a label, -1 if it is unknown. */
export function label_id(name: usize, length: i32): i32 {
  return slot_count == 0 ? -1 : load<i32>(find_slot(name, length)) - 1;
}

/**
 * The id of a label of a row at `line`, which is added if it is new; -1 if there are too many. The name must not be in
 * the table's memory. Line 0 is none: a label that rows may have.
 */
export function label_add(name: usize, length: i32, line: i32): i32 {
  if (2 * (label_count() + 1) > slot_count) fill_table(max(16, 2 * slot_count));
  const slot = find_slot(name, length);
  if (load<i32>(slot) == 0) {
    if (!vec_append(names, name, length) || !vec_push_u32(ends, vec_size(names)) || !vec_push_u32(lines, line))
      return -1;
    store<i32>(slot, label_count());
  } else if (label_line(load<i32>(slot) - 1) == 0) vec_set_u32(lines, load<i32>(slot) - 1, line);
  return load<i32>(slot) - 1;
}

/** Rebuilds the table with `count` slots. */
function fill_table(count: i32): void {
  if (slots != 0) heap.free(slots);
  slots = heap.alloc((<usize>count) << 2);
  memory.fill(slots, 0, (<usize>count) << 2);
  slot_count = count;
  for (let id = 0; id < label_count(); id++) store<i32>(find_slot(label_name(id), label_bytes(id)), id + 1);
}

/** The value of a name that is a decimal number below `limit` without leading zeros, otherwise -1. */
function integer(id: i32, limit: i32): i32 {
  const name = label_name(id);
  const length = label_bytes(id);
  if (length == 0 || length > 9 || (length > 1 && load<u8>(name) == 48)) return -1;
  let value = 0;
  for (let i = 0; i < length; i++) {
    const digit = <i32>load<u8>(name + i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value < limit ? value : -1;
}

/** Writes the ids of the labels 0 to K-1, in this order, to `order`; false if the labels are different. */
function order_integers(order: usize, count: i32): bool {
  // K distinct integers below K are exactly 0 to K-1.
  for (let id = 0; id < count; id++) {
    const value = integer(id, count);
    if (value < 0) return false;
    store<i32>(order + ((<usize>value) << 2), id);
  }
  return true;
}

/** Whether label `a` sorts before label `b`, byte by byte. */
function before(a: i32, b: i32): bool {
  const length_a = label_bytes(a);
  const length_b = label_bytes(b);
  const c = memory.compare(label_name(a), label_name(b), min(length_a, length_b));
  return c < 0 || (c == 0 && length_a < length_b);
}

/** Sifts the id at `root` down in the heap of `count` ids at `order`, whose root has the last name. */
function sink(order: usize, root: i32, count: i32): void {
  const id = load<i32>(order + ((<usize>root) << 2));
  let i = root;
  while (true) {
    let child = 2 * i + 1;
    if (child >= count) break;
    const left = order + ((<usize>child) << 2);
    if (child + 1 < count && before(load<i32>(left), load<i32>(left, 4))) child++;
    const largest = load<i32>(order + ((<usize>child) << 2));
    if (!before(id, largest)) break;
    store<i32>(order + ((<usize>i) << 2), largest);
    i = child;
  }
  store<i32>(order + ((<usize>i) << 2), id);
}

/** Writes the `count` ids from `first` on, sorted by name, to `order` (heap sort: no recursion, no extra memory). */
function order_names(order: usize, first: i32, count: i32): void {
  for (let i = 0; i < count; i++) store<i32>(order + ((<usize>i) << 2), first + i);
  for (let root = (count >> 1) - 1; root >= 0; root--) sink(order, root, count);
  for (let last = count - 1; last > 0; last--) {
    const slot = order + ((<usize>last) << 2);
    const id = load<i32>(slot);
    store<i32>(slot, load<i32>(order));
    store<i32>(order, id);
    sink(order, 0, last);
  }
}

/**
 * Sorts the labels behind the first `kept`: integers 0 to K-1 by value, any others by name, byte by byte. Returns a
 * block of u32, the new id of each old one, which the caller frees; 0 if there are no labels.
 */
export function labels_settle(kept: i32): usize {
  const count = label_count();
  if (count == 0) return 0;
  const order = heap.alloc((<usize>count) << 2);
  for (let id = 0; id < kept; id++) store<i32>(order + ((<usize>id) << 2), id);
  if (kept > 0 || !order_integers(order, count)) order_names(order + ((<usize>kept) << 2), kept, count - kept);
  const rank = heap.alloc((<usize>count) << 2);
  for (let i = 0; i < count; i++) store<i32>(rank + ((<usize>load<i32>(order + ((<usize>i) << 2))) << 2), i);

  const size = vec_size(names);
  const copy = heap.alloc(size);
  const lengths = heap.alloc((<usize>count) << 2);
  const firsts = heap.alloc((<usize>count) << 2);
  let used = 0;
  for (let i = 0; i < count; i++) {
    const id = load<i32>(order + ((<usize>i) << 2));
    const length = label_bytes(id);
    memory.copy(copy + used, label_name(id), length);
    store<i32>(lengths + ((<usize>i) << 2), length);
    store<i32>(firsts + ((<usize>i) << 2), label_line(id));
    used += length;
  }
  memory.copy(vec_data(names), copy, size);
  used = 0;
  for (let i = 0; i < count; i++) {
    used += load<i32>(lengths + ((<usize>i) << 2));
    vec_set_u32(ends, i, used);
  }
  memory.copy(vec_data(lines), firsts, (<usize>count) << 2);
  heap.free(order);
  heap.free(copy);
  heap.free(lengths);
  heap.free(firsts);
  fill_table(slot_count);
  return rank;
}
