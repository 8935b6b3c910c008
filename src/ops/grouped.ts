/** Grouped GEMM: one dispatch for the products of several members of a plan. Loaded only for such plans. */
import { type Dispatch, dispatch, findTensor, scalarAt, tensorAt } from "./kernel.ts";
import { LINEAR_JOB, linearGroupedKernel } from "./linear.ts";
import { GROUPED_JOB, type GroupedJob, isAligned, matmulGroupedKernel, SHORT } from "./matmul.ts";
import { bySequence, chunked, jobTable, LARGEST, type Shares, shareRows } from "./shares.ts";

/** A member's product, as in a plan of its own. */
interface MemberProduct {
  member: number;
  product: Dispatch;
}

/** An operand with the rows of the whole batch, of which each member has a share. Other operands are a member's own. */
export type Packed = "out" | "a" | "b";

/**
 * The products of several members as grouped GEMMs: one dispatch for all that a backend computes by the same kernel.
 * `packed` are the operands with the rows of the whole batch.
 */
export function matmulGrouped(
  products: readonly MemberProduct[],
  packed: readonly Packed[],
  { shares }: Shares,
): Dispatch[] {
  const alike = new Map<string, MemberProduct[]>();
  for (const one of products) {
    const way = groupingKey(one.product);
    alike.set(way, [...(alike.get(way) ?? []), one]);
  }
  return [...alike.values()].flatMap((some) => {
    const { product } = some[0]!;
    const scalar = (name: string) => scalarAt(product, name) as number;
    const [m, k] = [scalarAt(product, "m"), scalarAt(product, "k")];
    const isDepth = typeof k === "string";
    const rows = shareRows(isDepth ? k : m);
    const root = (name: string) => tensorAt(product, name).root;
    return chunked(some.flatMap(groupedJobs)).map((jobs) => {
      const largest = (name: "m" | "n") => Math.max(...jobs.map((job) => job[name]));
      return dispatch(
        matmulGroupedKernel,
        {
          ...{ out: root("out"), a: root("a"), b: root("b"), bias: findTensor(product, "bias")?.root },
          jobs: jobTable(matmulGroupedKernel, GROUPED_JOB, jobs),
          shares,
        },
        {
          m: isDepth ? largest("m") : LARGEST[rows],
          n: largest("n"),
          a_col: scalar("a_col"),
          b_row: scalar("b_row"),
          b_col: scalar("b_col"),
          beta: scalar("beta"),
          batch: jobs.length,
          by_sequence: bySequence(rows),
          is_depth: Number(isDepth),
          out_packed: Number(packed.includes("out")),
          a_packed: Number(packed.includes("a")),
          b_packed: Number(packed.includes("b")),
          b_type: 0,
        },
        product.access[0] === "write" ? { out: "write" } : {},
      );
    });
  });
}

/** A job for each product of a batch. */
function groupedJobs({ member, product }: MemberProduct): GroupedJob[] {
  const scalar = (name: string) => scalarAt(product, name) as number;
  const [m, k] = ["m", "k"].map((name) => (typeof scalarAt(product, name) === "string" ? 0 : scalar(name)));
  const at = (name: "out" | "a" | "b", i: number) =>
    tensorAt(product, name).offset + (name === "b" ? 0 : scalar(`${name}_offset`)) + i * scalar(`${name}_batch`);
  return Array.from({ length: scalar("batch") }, (_, i) => ({
    member,
    m: m!,
    n: scalar("n"),
    k: k!,
    out_offset: at("out", i),
    out_row: scalar("out_row"),
    a_offset: at("a", i),
    a_row: scalar("a_row"),
    a_col: scalar("a_col"),
    b_offset: at("b", i),
    b_row: scalar("b_row"),
    b_col: scalar("b_col"),
    bias_offset: findTensor(product, "bias")?.offset ?? 0,
    alpha: scalar("alpha"),
  }));
}

/** What selects the kernel of a product, and which operands it has: products with equal keys can share a dispatch. */
function groupingKey(product: Dispatch): string {
  const scalar = (name: string) => scalarAt(product, name);
  const isShort = ["m", "n"].map((name) => typeof scalar(name) === "number" && (scalar(name) as number) <= SHORT);
  const rows = ["m", "k"].map((name) => (typeof scalar(name) === "string" ? scalar(name) : null));
  const along = ["a_row", "a_col", "b_row", "b_col"].map((name) => scalar(name) === 1);
  const aligned = groupedJobs({ member: 0, product }).every(isAligned);
  return JSON.stringify([
    isShort,
    rows,
    along,
    aligned,
    scalar("beta"),
    findTensor(product, "bias") !== null,
    product.access,
  ]);
}

/**
 * The layer of several members in one dispatch: `product` is the member's, as in a plan of its own, over tensors that
 * have the rows of the whole batch, but for `down`.
 */
export function linearGrouped(products: readonly MemberProduct[], { shares }: Shares): Dispatch {
  const first = products[0]!.product;
  const rows = shareRows(scalarAt(first, "m"));
  const adapted = products.find(({ product }) => scalarAt(product, "count") !== 0)?.product ?? first;
  const jobs = products.map(({ member, product }) => {
    const scalar = (name: string) => scalarAt(product, name) as number;
    const offset = (name: string) => findTensor(product, name)?.offset ?? 0;
    return {
      member,
      count: scalar("count"),
      r: scalar("r"),
      stride: scalar("stride"),
      up_row: scalar("up_row"),
      up_col: scalar("up_col"),
      column: scalar("column"),
      step: scalar("step"),
      width: scalar("width"),
      skew: scalar("skew"),
      up_offset: offset("up"),
      down_offset: offset("down"),
    };
  });
  const at = (name: string, product = first) => findTensor(product, name)?.root;
  const scalar = (name: string) => scalarAt(first, name) as number;
  return dispatch(
    linearGroupedKernel,
    {
      out: tensorAt(first, "out").root,
      act: at("act"),
      a: tensorAt(first, "a").root,
      b: tensorAt(first, "b"),
      bias: findTensor(first, "bias"),
      inp: at("inp"),
      down: at("down", adapted),
      up: at("up", adapted),
      jobs: jobTable(linearGroupedKernel, LINEAR_JOB, jobs),
      shares,
    },
    {
      m: LARGEST[rows],
      n: scalar("n"),
      k: scalar("k"),
      b_row: scalar("b_row"),
      b_col: scalar("b_col"),
      epilogue: scalar("epilogue"),
      batch: jobs.length,
      by_sequence: bySequence(rows),
      b_type: scalar("b_type"),
      activation: scalar("activation"),
    },
  );
}
