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
import { type Job, joinJobs, memberJobs, withJobs } from "../ops/jobs.ts";
import { boundTensors, type Dispatch, isTable, tensorAt } from "../ops/kernel.ts";
import { type Shares, WHOLE } from "../ops/shares.ts";
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

  /** Where a member's tensor begins in that of the fused program. */
  private offset(tensor: Tensor): number {
    const { root, offset } = tensor;
    if (this.base.has(root) || this.placed.batch.has(tensor)) return 0;
    return this.hasRows(tensor) ? offset : this.ownPlace(root).at + offset;
  }

  /** A member's tensor in the fused program: with as many rows as the member can have, if it has rows. */
  place(tensor: Tensor): Tensor {
    const { root, name, shape, role, dtype } = tensor;
    const whole = this.whole(tensor);
    if (this.base.has(root) || this.placed.batch.has(tensor)) return whole;
    return new Tensor(name, shape, role, dtype, whole, this.offset(tensor));
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
      return kernel.pairs && !this.isOwn(tensor) ? [] : tensor.name;
    });
    return [kernel.name, ...names].join();
  }

  private fuse(aligned: Aligned): Dispatch[] {
    const dispatches = [...aligned.values()];
    const [{ kernel }] = dispatches as [Dispatch];
    if (kernel.pairs) return this.fusePairs(aligned, Object.entries(kernel.pairs) as [string, string][]);
    this.join(aligned);
    const hasOwn = dispatches.some(({ tensors }) => tensors.some((tensor) => tensor && this.isOwn(tensor)));
    if (!kernel.job) return [this.overAllRows(dispatches, hasOwn)];
    // What reads the base model alone has one job, over all rows.
    const members = hasOwn ? [...aligned] : [[WHOLE, dispatches[0]!] as const];
    return joinJobs(members.map(([member, one]) => ({ member, of: this.placeTensors(one) })));
  }

  /** The dispatch over the rows of all members. */
  private overAllRows(dispatches: readonly Dispatch[], hasOwn: boolean): Dispatch {
    const [{ kernel, tensors, access, scalars }] = dispatches as [Dispatch];
    const dims = Object.keys(kernel.dims);
    if (hasOwn && !dims.includes("members")) refuse("a form for several", kernel.name);
    for (const [i, dim] of dims.entries()) {
      const [value, ...others] = new Set(dispatches.map((one) => one.scalars[i]));
      if (others.length > 0) refuse(`${dim} = ${value} in ${kernel.name}`, others.join(", "));
    }
    return {
      kernel,
      access,
      tensors: tensors.map((tensor) => tensor && this.whole(tensor)),
      scalars: scalars.map((value, i) => (dims[i] === "members" ? this.shares.members : value)),
    };
  }

  /** A member's dispatch over its parts of whole tensors; those at which no job has an offset are whole. */
  private placeTensors(one: Dispatch): Dispatch {
    const { bindings, jobOffsets = {} } = one.kernel;
    const moved = new Set(Object.values(jobOffsets).flat());
    const tensors = Object.keys(bindings).map((name, i) => {
      const tensor = one.tensors[i]!;
      if (!tensor || name === "jobs") return tensor;
      return moved.has(name) ? this.place(tensor) : this.whole(tensor);
    });
    return { ...one, tensors };
  }

  /** Each job reads the operands of its matrix, and the jobs of two matrices share a dispatch. */
  private fusePairs(aligned: Aligned, names: readonly (readonly [first: string, second: string])[]): Dispatch[] {
    const all = [...aligned].map(([member, one]) => ({ member, of: this.placeTensors(one) }));
    const matrices: { operands: Tensor[]; jobs: Job[] }[] = [];
    for (const one of all)
      for (const job of memberJobs(one)) {
        const operands = names.map((pair) => tensorAt(one.of, pair[job.second ? 1 : 0]));
        const known = matrices.find((matrix) => matrix.operands.every((tensor, i) => tensor === operands[i]));
        if (known) known.jobs.push(job);
        else matrices.push({ operands, jobs: [job] });
      }
    const dispatches = all.map(({ of }) => of);
    return Array.from({ length: Math.ceil(matrices.length / 2) }, (_, i) => {
      const pair = matrices.slice(2 * i, 2 * i + 2);
      const jobs = pair.flatMap((one, second) => one.jobs.map((job) => ({ ...job, second })));
      const tensors = names.flatMap((both, k) => both.map((name, j) => [name, pair[j]?.operands[k] ?? null]));
      return withJobs(dispatches, jobs, Object.fromEntries(tensors));
    }).flat();
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
