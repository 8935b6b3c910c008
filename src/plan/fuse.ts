/**
 * Several programs over one base model as one (horizontal fusion; HFTA, Wang et al. 2021, "Horizontally Fused Training
 * Array"). The programs are those of ordinary plans, one a member, which share the base model's tensors. A batch of the
 * fused program has the rows of all members, one member's share behind the other's.
 *
 * There are three kinds of tensors. One that two programs use, the base model's, stays as it is. One with the rows of a
 * batch gets the rows of all members. All others are a member's own; they lie one behind the other in one buffer, so
 * that one dispatch reaches those of all members. The lists of dispatches are aligned (longest common subsequence).
 * What reads rows and the base model alone then runs once over all rows; what reads a member's own tensors becomes a
 * job of a grouped dispatch.
 */
import { ConfigError } from "../errors.ts";
import { linearGrouped, matmulGrouped, type Packed } from "../ops/grouped.ts";
import {
  boundTensors,
  type Dispatch,
  dispatch,
  findTensor,
  isTable,
  type Kernel,
  type Scalar,
  scalarAt,
  tensorAt,
} from "../ops/kernel.ts";
import { linearKernel } from "../ops/linear.ts";
import { loraBackwardKernel } from "../ops/lora.ts";
import { matmulKernel } from "../ops/matmul.ts";
import { chunked, decodeTable, jobTable, type Shares } from "../ops/shares.ts";
import { alignView, formatShape, Tensor } from "../tensor.ts";
import type { Segment } from "./plan.ts";

/** Where a member's buffer lies in the fused program: in `root`, from element `at` on. */
export interface BufferPlace {
  root: Tensor;
  at: number;
}

/** Tensors of the fused program that exist before it: the batch's, by those of the members, and their own buffers'. */
interface Placed {
  batch: ReadonlyMap<Tensor, Tensor>;
  own: ReadonlyMap<Tensor, BufferPlace>;
}

/** Buffers one behind the other in a new one. */
export function together(name: string, buffers: readonly Tensor[]): Map<Tensor, BufferPlace> {
  const offsets = buffers.map((_, i) => buffers.slice(0, i).reduce((sum, { size }) => sum + alignView(size), 0));
  const size = buffers.reduce((sum, { size }) => sum + alignView(size), 0);
  const [{ role, dtype }] = buffers as [Tensor];
  const root = new Tensor(name, [size], role, dtype);
  return new Map(buffers.map((buffer, i) => [buffer, { root, at: offsets[i]! }]));
}

/** Throws ConfigError: the programs cannot be fused. */
function refuse(expected: string, found: string): never {
  throw new ConfigError("cannot-share-plan", "models that cannot share a plan", { expected, found });
}

/** The dispatches of members that become one, by the members' numbers. */
type Aligned = Map<number, Dispatch>;

/**
 * The dispatches of several lists in one order in which each list keeps its own: those with equal keys that are next to
 * each other in a longest common subsequence are aligned.
 */
function align(lists: readonly (readonly Dispatch[])[], key: (dispatch: Dispatch) => string): Aligned[] {
  let all: { key: string; members: Aligned }[] = [];
  for (const [member, list] of lists.entries()) {
    const keys = list.map(key);
    if (keys.length === all.length && keys.every((one, i) => one === all[i]!.key)) {
      for (const [i, { members }] of all.entries()) members.set(member, list[i]!);
      continue;
    }
    // lengths[i][j]: that of the longest common subsequence of what begins at i and j.
    const lengths = Array.from({ length: all.length + 1 }, () => new Uint16Array(list.length + 1));
    for (let i = all.length - 1; i >= 0; i--)
      for (let j = list.length - 1; j >= 0; j--)
        lengths[i]![j] =
          all[i]!.key === keys[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
    const merged: typeof all = [];
    for (let [i, j] = [0, 0]; i < all.length || j < list.length; ) {
      const [one, other] = [all[i], keys[j]];
      if (one && one.key === other) {
        one.members.set(member, list[j++]!);
        merged.push(all[i++]!);
      } else if (one && (j === list.length || lengths[i + 1]![j]! >= lengths[i]![j + 1]!)) merged.push(all[i++]!);
      else merged.push({ key: other!, members: new Map([[member, list[j++]!]]) });
    }
    all = merged;
  }
  return all.map(({ members }) => members);
}

/** A job of a member, as the numbers of its table's entry. */
type JobFields = Record<string, number>;

class Fusion {
  /** Every buffer, with the program that uses it first, program by program. */
  private readonly buffers = new Map<Tensor, readonly Segment[]>();
  /** The buffers that two programs use. */
  private readonly base = new Set<Tensor>();
  /** A member's own buffers. */
  private readonly own: Map<Tensor, BufferPlace>;
  /** Own buffers that are used at the same bindings: they become one. */
  private readonly united = new Map<Tensor, ReadonlySet<Tensor>>();
  /** By a member's buffer with rows of its batch: that with the rows of all. */
  private readonly rows = new Map<Tensor, Tensor>();

  constructor(
    private readonly programs: readonly (readonly Segment[])[],
    private readonly shares: Required<Shares>,
    private readonly placed: Placed,
  ) {
    this.own = new Map(placed.own);
    for (const program of programs)
      for (const { tensor } of program.flatMap(({ dispatches }) => dispatches.flatMap(boundTensors)))
        if (!this.buffers.has(tensor.root)) this.buffers.set(tensor.root, program);
        else if (this.buffers.get(tensor.root) !== program) this.base.add(tensor.root);
  }

  segments(): Segment[] {
    const segments = this.programs[0]!.map(({ name }, i) => {
      const all = this.programs.map((program) => program[i]!);
      const lists = all.map(({ dispatches }) => dispatches);
      return { name, clears: all.flatMap(({ clears }) => clears), aligned: align(lists, (one) => this.key(one)) };
    });
    for (const one of segments.flatMap(({ aligned }) => aligned)) this.unite(one);
    return segments.map(({ name, clears, aligned }) => ({
      name,
      clears: [...new Set(clears.map((tensor) => this.whole(tensor)))],
      dispatches: aligned.flatMap((one) => this.fuse(one)),
    }));
  }

  // ------------------------------------------------------------------------------------------------- tensors

  /** Whether a tensor has the rows of a batch: those are the first of two axes or more. */
  private hasRows({ root }: Tensor): boolean {
    const { role, shape } = root;
    if (this.base.has(root) || this.placed.own.has(root)) return false;
    return shape.length > 1 && (role === "activation" || role === "output" || role === "input");
  }

  /** Whether a tensor is a member's own, and no table of a dispatch. */
  private isOwn(tensor: Tensor): boolean {
    const { root, role } = tensor;
    return !this.base.has(root) && !this.placed.batch.has(tensor) && !this.hasRows(tensor) && role !== "table";
  }

  /** The tensor of the fused program that a member's is a part of. */
  private whole(tensor: Tensor): Tensor {
    const { root } = tensor;
    const known = this.placed.batch.get(tensor) ?? this.rows.get(root);
    if (known || this.base.has(root)) return known ?? tensor;
    if (!this.hasRows(tensor)) return this.ownPlace(root).root;
    const [capacity, ...rest] = root.shape as [number, ...number[]];
    const all = new Tensor(root.name, [capacity * this.shares.members, ...rest], root.role, root.dtype);
    this.rows.set(root, all);
    return all;
  }

  /** A member's tensor in the fused program: with as many rows as the member can have, if it has rows. */
  place(tensor: Tensor): Tensor {
    const { root, name, shape, offset, role, dtype } = tensor;
    const whole = this.whole(tensor);
    if (this.base.has(root) || this.placed.batch.has(tensor)) return whole;
    const at = this.hasRows(tensor) ? 0 : this.ownPlace(root).at;
    return new Tensor(name, shape, role, dtype, whole, at + offset);
  }

  private ownPlace(root: Tensor): BufferPlace {
    const known = this.own.get(root);
    if (known) return known;
    if (root.role !== "activation") refuse("adapters and heads", `${root.name} of one model alone`);
    const united = this.united.get(root) ?? new Set([root]);
    // In the members' order, so that buffers of equal sizes, as those of `down` and its gradient, are laid out alike.
    const buffers = [...this.buffers.keys()].filter((buffer) => united.has(buffer));
    for (const [buffer, place] of together(root.name, buffers)) this.own.set(buffer, place);
    return this.own.get(root)!;
  }

  /** Notes which buffers of members are used at the same bindings. */
  private unite(aligned: Aligned): void {
    const dispatches = [...aligned.values()];
    for (const [binding] of dispatches[0]!.tensors.entries()) {
      const roots = dispatches.flatMap(({ tensors }) => {
        const tensor = tensors[binding];
        return tensor && this.isOwn(tensor) && !this.own.has(tensor.root) ? tensor.root : [];
      });
      const all = new Set(roots.flatMap((root) => [...(this.united.get(root) ?? [root])]));
      for (const root of all) this.united.set(root, all);
    }
  }

  /**
   * Gives the members' tensors with rows at each binding one tensor with the rows of all; own ones must be in a buffer.
   */
  private join(aligned: Aligned): void {
    const dispatches = [...aligned.values()];
    for (const [binding] of dispatches[0]!.tensors.entries()) {
      const all = dispatches.flatMap(({ tensors }) => tensors[binding] ?? []);
      const own = new Set(all.filter((tensor) => this.isOwn(tensor)).map((tensor) => this.whole(tensor)));
      const rows = all.filter((tensor) => this.hasRows(tensor));
      const joined = new Set(rows.flatMap(({ root }) => this.rows.get(root) ?? []));
      if (own.size > 1 || joined.size > 1) refuse("equal plans", `several ${all[0]!.name}`);
      const [whole = rows[0] && this.whole(rows[0])] = joined;
      for (const { root } of rows) {
        const [found, expected] = [root, whole!].map(({ shape }) => formatShape(shape.slice(1)));
        if (found !== expected) refuse(`rows of ${expected} in ${root.name}`, found!);
        this.rows.set(root, whole!);
      }
    }
  }

  // ---------------------------------------------------------------------------------------------- dispatches

  /** What aligned dispatches have in common: the kernel, and the names of its tensors but for a member's parameters. */
  private key({ kernel, tensors }: Dispatch): string {
    const names = Object.entries(kernel.elements).flatMap(([binding, element], i) => {
      const tensor = tensors[i];
      // A layer may have adapters or not.
      if (!tensor || kernel.optional.includes(binding) || isTable(element) || this.own.has(tensor.root)) return [];
      // The jobs of a dispatch may read other rows.
      return kernel.job && !this.isOwn(tensor) ? [] : tensor.name;
    });
    return [kernel.name, ...names].join();
  }

  private fuse(aligned: Aligned): Dispatch[] {
    const [first] = aligned.values() as Iterable<Dispatch> as [Dispatch];
    const { kernel } = first;
    if (kernel === loraBackwardKernel) return this.loraBackward(aligned);
    if (kernel.job) return this.grouped(aligned);
    this.join(aligned);
    const products = [...aligned].map(([member, product]) => {
      const tensors = product.tensors.map((tensor) => tensor && this.place(tensor));
      return { member, product: { ...product, tensors } };
    });
    if (kernel === linearKernel && products.some(({ product }) => scalarAt(product, "count") !== 0))
      return [linearGrouped(products, this.shares)];
    if (kernel === matmulKernel && boundTensors(first).some(({ tensor }) => this.isOwn(tensor))) {
      const packed = (["out", "a", "b"] satisfies Packed[]).filter((name) => this.hasRows(tensorAt(first, name)));
      return matmulGrouped(products, packed, this.shares);
    }
    return [this.overAllRows(aligned)];
  }

  /** The dispatch over the rows of all members. */
  private overAllRows(aligned: Aligned): Dispatch {
    const dispatches = [...aligned.values()];
    const [{ kernel, tensors }] = dispatches as [Dispatch];
    if (!("members" in kernel.dims) && tensors.some((tensor) => tensor && this.isOwn(tensor)))
      refuse("a form for several", kernel.name);
    const scalars = Object.keys(kernel.dims).map((dim) => {
      const [value, ...others] = new Set(dispatches.map((one) => scalarAt(one, dim)));
      if (others.length > 0) refuse(`${dim} = ${value} in ${kernel.name}`, others.join(", "));
      return dim === "members" ? this.shares.members : value!;
    });
    return this.make(dispatches[0]!, {}, scalars);
  }

  /** Dispatches with the jobs of all members, which differ in what is no pipeline constant, and have the same bindings. */
  private grouped(aligned: Aligned): Dispatch[] {
    const alike = new Map<string, Aligned>();
    for (const [member, one] of aligned) {
      const constants = Object.entries(one.kernel.dims).map(([dim, type]) =>
        type === "u32" ? "" : scalarAt(one, dim),
      );
      const key = [...constants, ...one.tensors.map((tensor) => tensor !== null)].join();
      alike.set(key, new Map([...(alike.get(key) ?? []), [member, one]]));
    }
    return [...alike.values()].flatMap((some) => {
      this.join(some);
      return this.withJobs(
        some,
        [...some].flatMap(([member, one]) => this.jobs(member, one)),
      );
    });
  }

  /** The jobs of a member, with their offsets in the fused program. */
  private jobs(member: number, one: Dispatch): JobFields[] {
    const { job, jobOffsets = {} } = one.kernel;
    const own = decodeTable(job!, tensorAt(one, "jobs"), scalarAt(one, "count") as number);
    return own.map((job) => {
      const moved = Object.entries(jobOffsets).map(([field, bindings]) => {
        const tensors = bindings.flatMap((name) => findTensor(one, name) ?? []);
        const [at = 0, ...others] = new Set(tensors.map(({ root }) => this.ownPlace(root).at));
        if (others.length > 0) refuse(`${bindings.join(", ")} at the same offset`, [at, ...others].join(", "));
        return [field, job[field]! + at];
      });
      return { ...job, member, ...(Object.fromEntries(moved) as JobFields) };
    });
  }

  /** The dispatches of jobs, as many as a table holds in each. */
  private withJobs(aligned: Aligned, jobs: readonly JobFields[], tensors: Record<string, Tensor> = {}): Dispatch[] {
    const dispatches = [...aligned.values()];
    const [first] = dispatches as [Dispatch];
    const { kernel } = first;
    return chunked(jobs).map((some) => {
      const scalars = Object.keys(kernel.dims).map((dim) => {
        const values = dispatches.map((one) => scalarAt(one, dim));
        if (dim === "count") return some.length;
        // Sizes of the grid: the largest.
        return typeof values[0] === "number" ? Math.max(...(values as number[])) : values[0]!;
      });
      return this.make(first, { ...tensors, jobs: jobTable(kernel, kernel.job!, some) }, scalars);
    });
  }

  /** dA and dB: each matrix's jobs read its x and dy, and those of two matrices share a dispatch. */
  private loraBackward(aligned: Aligned): Dispatch[] {
    const pairs: { x: Tensor; dy: Tensor; jobs: JobFields[] }[] = [];
    for (const [member, one] of aligned)
      for (const job of this.jobs(member, one)) {
        const [x, dy] = (job.second ? ["x2", "dy2"] : ["x", "dy"]).map((name) => this.whole(tensorAt(one, name)));
        const known = pairs.find((pair) => pair.x === x && pair.dy === dy);
        if (known) known.jobs.push(job);
        else pairs.push({ x: x!, dy: dy!, jobs: [job] });
      }
    const dispatches: Dispatch[] = [];
    for (let i = 0; i < pairs.length; i += 2) {
      const [first, second = first] = pairs.slice(i, i + 2) as [(typeof pairs)[0], (typeof pairs)[0]?];
      const jobs = [...new Set([first, second])].flatMap(({ jobs }, second) => jobs.map((job) => ({ ...job, second })));
      dispatches.push(...this.withJobs(aligned, jobs, { x: first.x, dy: first.dy, x2: second.x, dy2: second.dy }));
    }
    return dispatches;
  }

  /** A member's dispatch over whole tensors, of which some are replaced. */
  private make(one: Dispatch, replaced: Record<string, Tensor>, scalars: readonly Scalar[]): Dispatch {
    const { kernel, tensors, access } = one;
    const byName = <T>(names: object, values: readonly T[]) =>
      Object.fromEntries(Object.keys(names).map((name, i) => [name, values[i]!]));
    const whole = Object.keys(kernel.bindings).map(
      (name, i) => replaced[name] ?? (tensors[i] && this.whole(tensors[i])),
    );
    return dispatch(
      kernel as Kernel,
      byName(kernel.bindings, whole),
      byName(kernel.dims, scalars),
      byName(kernel.bindings, access),
    );
  }
}

/**
 * The segments of the fused program, and where a member's tensor is in them. Throws ConfigError if the programs cannot
 * be fused.
 */
export function fuse(
  programs: readonly (readonly Segment[])[],
  shares: Required<Shares>,
  placed: Placed,
): { segments: Segment[]; place: (tensor: Tensor) => Tensor } {
  const fusion = new Fusion(programs, shares, placed);
  return { segments: fusion.segments(), place: (tensor) => fusion.place(tensor) };
}
