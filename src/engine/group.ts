/**
 * Several adapters that share a plan on one device. To its callers each is an engine of its own; what they submit at
 * the same time runs as one batch. A member's results have the same bits as those of a separate engine.
 */
import { type Backend, DROPPED, type Session } from "../backend/backend.ts";
import { DeviceError, ShapeError } from "../errors.ts";
import { type Capacity, checkCapacity } from "../model/batch.ts";
import { SLOTS } from "../model/model.ts";
import { type BatchResult, Engine, type EngineOptions, type Pass, PlanRunner, type Runner } from "./engine.ts";
import { joinBatches, type MemberOptions, planMembers, type SharedPlan } from "./members.ts";
import { loadQuantizer } from "./weights.ts";

/** A member's adapter, and the most that its batches hold. */
interface GroupMember extends MemberOptions {
  capacity: Capacity;
}

export interface GroupOptions extends Pick<EngineOptions, "part" | "valueLoss" | "recompute" | "maxBinding"> {
  members: readonly GroupMember[];
}

/**
 * A member's request: passes that run one after the other, each together with one of every other member that requests
 * the same.
 */
interface Request {
  /** Members whose requests have the same kind run together. */
  kind: string;
  /** When it was made: requests are served in order. */
  number: number;
  passes: readonly MemberPass[];
}

/** A pass, and what reads its results as soon as it is submitted. */
interface MemberPass extends Pass {
  readers: Reader[];
}

interface Reader {
  /** The member's first row, and the slot of the pass. */
  read: (firstRow: number, slot: number) => void;
  fail: (error: unknown) => void;
}

function failAll({ passes }: Pick<Request, "passes">, error: unknown): void {
  for (const { readers } of passes) for (const { fail } of readers) fail(error);
}

export class Group {
  readonly engines: readonly Engine[];
  private readonly members: readonly Member[];
  /** The members that have not left, with their requests. */
  private readonly waiting = new Map<Member, Request[]>();
  private scheduled = false;
  private requests = 0;

  private constructor(
    plan: SharedPlan,
    session: Session,
    readonly runner: PlanRunner,
    quantize: Awaited<ReturnType<typeof loadQuantizer>>,
    members: readonly GroupMember[],
  ) {
    this.members = members.map(({ capacity }, number) => new Member(this, number, capacity));
    for (const member of this.members) this.waiting.set(member, []);
    this.engines = members.map(({ spec, capacity, optimizer }, number) => {
      const own = { ...plan, ...plan.members[number]!, spec, capacity };
      return new Engine(own, session, quantize, optimizer, this.members[number]!);
    });
  }

  /** The plan that `create` would prepare. Allocates nothing. */
  static plan(
    { limits }: Pick<Backend, "limits">,
    { members, maxBinding = Infinity, ...rest }: GroupOptions,
  ): SharedPlan {
    const most = (of: (capacity: Capacity) => number) => Math.max(...members.map(({ capacity }) => of(capacity)));
    const capacity = { tokens: most(({ tokens }) => tokens), sequences: most(({ sequences }) => sequences) };
    return planMembers(members, { ...rest, capacity, maxBinding: Math.min(maxBinding, limits.maxBinding) });
  }

  /** Builds the plan and prepares it. Parameters are zero until they are written; frozen ones belong to any member. */
  static async create(backend: Backend, options: GroupOptions): Promise<Group> {
    const plan = Group.plan(backend, options);
    const quantize = await loadQuantizer(plan, backend);
    const session = await backend.prepare(plan);
    return new Group(plan, session, new PlanRunner(plan, session), quantize, options.members);
  }

  request(member: Member, request: Omit<Request, "number">): void {
    this.waiting.get(member)!.push({ ...request, number: this.requests++ });
    this.schedule();
  }

  drop(member: Member): void {
    for (const request of this.waiting.get(member)?.splice(0) ?? [])
      failAll(request, new DeviceError("work-dropped", DROPPED));
  }

  /** The others continue without it. The last to leave frees the device's memory. */
  leave(member: Member): void {
    this.drop(member);
    if (!this.waiting.delete(member)) return;
    if (this.waiting.size === 0) this.runner.destroy();
    else this.schedule();
  }

  /** Runs the next requests once every member has one, at the end of this turn: a member may still read its logits. */
  private schedule(): void {
    if (this.scheduled || [...this.waiting.values()].some(({ length }) => length === 0)) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      if ([...this.waiting.values()].every(({ length }) => length > 0)) this.run();
    });
  }

  /** Runs the oldest request, and with it those of the same kind. */
  private run(): void {
    const first = [...this.waiting].map(([member, [request]]) => ({ member, request: request! }));
    const oldest = first.reduce((a, b) => (a.request.number < b.request.number ? a : b)).request;
    const some = new Map(
      first.flatMap(({ member, request }) => (request.kind === oldest.kind ? [[member, request] as const] : [])),
    );
    for (const member of some.keys()) this.waiting.get(member)!.shift();
    try {
      for (const [i, { segments }] of oldest.passes.entries()) {
        const works = this.members.map((member) => some.get(member)?.passes[i]?.work ?? null);
        const batch = joinBatches(works.flatMap((work) => work?.batch ?? []));
        const slot = this.runner.run(segments, batch, works);
        let firstRow = 0;
        for (const member of this.members) {
          const pass = some.get(member)?.passes[i];
          if (!pass) continue;
          for (const { read } of pass.readers) read(firstRow, slot);
          firstRow += pass.work.batch.targets.length;
        }
      }
    } catch (error) {
      for (const request of some.values()) failAll(request, error);
    }
    this.schedule();
  }
}

/** Runs the passes of a member. Its slots are the numbers of its passes. */
class Member implements Runner {
  private passes: MemberPass[] = [];
  private readonly results = new Map<number, Promise<BatchResult>>();
  private submitted = 0;

  constructor(
    private readonly group: Group,
    private readonly number: number,
    private readonly capacity: Capacity,
  ) {}

  submit(passes: readonly Pass[]): number[] {
    for (const { work } of passes) checkCapacity(work.batch, this.capacity);
    this.passes = passes.map((pass) => ({ ...pass, readers: [] }));
    const kind = passes.map(({ segments }) => segments.join()).join(";");
    this.group.request(this, { kind, passes: this.passes });
    return this.passes.map((pass) => {
      const result = read(pass, (_, slot) => this.group.runner.result(this.number * SLOTS + slot));
      // A rejection is handled where the result is awaited.
      result.catch(() => {});
      this.results.set(this.submitted, result);
      return this.submitted++;
    });
  }

  async result(slot: number): Promise<BatchResult> {
    const result = this.results.get(slot);
    if (!result)
      throw new ShapeError("result-already-read", "the result of a batch can be read once", { found: `batch ${slot}` });
    this.results.delete(slot);
    return result;
  }

  ofLast<T>(get: (firstRow: number) => Promise<T>): Promise<T> {
    return read(this.passes.at(-1)!, get);
  }

  drop(): void {
    this.group.runner.drop();
    this.group.drop(this);
  }

  destroy(): void {
    this.group.leave(this);
  }
}

/** What `get` reads after a pass is submitted and before the next one. Call it in the turn that makes the request. */
function read<T>({ readers }: MemberPass, get: (firstRow: number, slot: number) => Promise<T>): Promise<T> {
  return new Promise((resolve, fail) => {
    readers.push({ read: (...at) => void get(...at).then(resolve, fail), fail });
  });
}
