/** The results of the tokenizer benchmark as tables. */

import type { RowColumn } from "../document/blocks.ts";
import { digits } from "../format.ts";
import { renderTable } from "../views/terminal/render.ts";
import type { Machine } from "./machine.ts";
import type { Spread } from "./spread.ts";
import type { Workload } from "./texts.ts";

const US = "lowrank";

/** MB of UTF-8 per second. */
function speed(bytes: number, spread: Spread | null | undefined, of: "median" | "best" = "median"): number | null {
  return spread ? bytes / 1000 / spread[of] : null;
}

/** Whether a peer has the reference's ids for all texts. */
function isExact({ texts }: PeerResult): boolean {
  return Object.values(texts).every(({ differ }) => differ === 0);
}

function exactness({ texts }: PeerResult): string {
  const differ = Object.entries(texts).filter(([, result]) => result.differ !== 0);
  if (differ.length === 0) return "yes";
  return differ.map(([name, { differ }]) => `${name}: ${differ === null ? "unknown" : `${differ} differ`}`).join("; ");
}

/** The measurements as tables, and the ratios between Lowrank and the others. */
export function tables(report: TokenizerReport): string {
  const { workloads, peers } = report;
  const [first] = workloads;
  const parts = [`\ntoken ids are compared with ${report.reference} before anything is timed`];
  const columns: RowColumn<PeerResult>[] = [
    { title: "", value: ({ name }) => name },
    { title: "version", value: ({ version }) => version },
    { title: "exact", value: exactness },
    { title: "init ms", value: ({ init }) => init, format: digits(1) },
    { title: "gzip MB", value: ({ wireBytes }) => wireBytes && wireBytes / 1e6, format: digits(2) },
    ...workloads.map(({ name }) => ({
      title: `peak MB, ${name}`,
      value: ({ texts }: PeerResult) => bytesOrNull(texts[name]),
      format: digits(0),
    })),
  ];
  parts.push(renderTable(columns, peers));
  for (const { name, bytes } of workloads) {
    parts.push(`\n${name}: MB/s of UTF-8 (first: median of ${report.rounds} fresh processes; warm, decode: median)`);
    parts.push(renderTable(speedColumns(name, bytes), peers));
  }
  parts.push("\none word of n letters: ms, best of 5 (–: over the time limit)", renderTable(wordColumns(), peers));
  if (first) parts.push(`\n${ratios(report)}`);
  for (const { name, failures } of peers) if (failures.length > 0) parts.push(`${name}: ${failures.join("; ")}`);
  return parts.join("\n");
}

function bytesOrNull(result: WorkloadResult | undefined): number | null {
  return result?.peakBytes == null ? null : result.peakBytes / 1e6;
}

function speedColumns(workload: string, bytes: number): RowColumn<PeerResult>[] {
  const of = ({ texts }: PeerResult) => texts[workload];
  // From the slower to the faster quartile.
  const range = (spread: Spread | null | undefined) =>
    spread ? `${(bytes / 1000 / spread.high).toFixed(1)}-${(bytes / 1000 / spread.low).toFixed(1)}` : null;
  return [
    { title: "", value: ({ name }) => name },
    { title: "first", value: (peer) => speed(bytes, of(peer)?.first), format: digits(1) },
    { title: "warm", value: (peer) => speed(bytes, of(peer)?.warm), format: digits(1) },
    { title: "quartiles", value: (peer) => range(of(peer)?.warm) },
    { title: "best", value: (peer) => speed(bytes, of(peer)?.warm, "best"), format: digits(1) },
    { title: "decode", value: (peer) => speed(bytes, of(peer)?.decode), format: digits(1) },
    { title: "quartiles", value: (peer) => range(of(peer)?.decode) },
    { title: "best", value: (peer) => speed(bytes, of(peer)?.decode, "best"), format: digits(1) },
    { title: "repeats", value: (peer) => of(peer)?.warm?.repeats ?? null },
  ];
}

function wordColumns(): RowColumn<PeerResult>[] {
  const lengths = [5_000, 20_000, 80_000];
  return [
    { title: "", value: ({ name }) => name },
    ...["a", "letters"].flatMap((kind) =>
      lengths.map((length) => ({
        title: `${kind} ${length / 1000}k`,
        value: ({ words }: PeerResult) => words[`${kind}, ${length}`] ?? null,
        format: digits(1),
      })),
    ),
  ];
}

/** The speed of Lowrank relative to gpt-tokenizer and to the fastest exact peer, for medians and bests. */
function ratios({ workloads, peers }: TokenizerReport): string {
  const us = peers.find(({ name }) => name === US);
  const others = peers.filter((peer) => peer.name !== US && isExact(peer));
  const known = others.find((peer) => peer.name === "gpt-tokenizer");
  if (!us || others.length === 0) return "";
  return workloads
    .flatMap(({ name, bytes }) =>
      (["first", "warm", "decode"] as const).map((kind) => {
        const of = (peer: PeerResult, by: "median" | "best") => speed(bytes, peer.texts[name]?.[kind], by) ?? 0;
        const times = (peer: PeerResult) =>
          `${(of(us, "median") / of(peer, "median")).toFixed(1)} x (bests: ${(of(us, "best") / of(peer, "best")).toFixed(1)} x)`;
        const fastest = others.reduce((best, peer) => (of(peer, "median") > of(best, "median") ? peer : best));
        const slower = known && known !== fastest ? `, ${times(known)} the speed of gpt-tokenizer` : "";
        return `${name}, ${kind}: ${times(fastest)} the speed of the fastest exact peer, ${fastest.name}${slower}`;
      }),
    )
    .join("\n");
}

export interface PeerResult {
  name: string;
  version: string;
  init: number | null;
  wireBytes: number | null;
  /** By workload name. */
  texts: Record<string, WorkloadResult>;
  /** Best ms by "letters, 20000". */
  words: Record<string, number>;
  failures: string[];
}

export interface TokenizerReport {
  machine: Machine;
  /** The tokenizer whose ids the others are compared with. */
  reference: string;
  rounds: number;
  workloads: Omit<Workload, "texts">[];
  peers: PeerResult[];
}

/** The results of a peer on one workload. Times are in ms. */
export interface WorkloadResult {
  /** Texts whose ids differ from the reference, and texts that do not round-trip; null if the process ended before. */
  differ: number | null;
  notDecoded: number | null;
  first: Spread | null;
  warm: Spread | null;
  decode: Spread | null;
  peakBytes: number | null;
}
