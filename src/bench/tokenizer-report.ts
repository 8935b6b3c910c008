/** The tokenizers' measurements as tables and as a chart. */
import { type BarPanel, barChart } from "../report/bars.ts";
import { type Column, renderTable } from "../report/tables.ts";
import type { Spread } from "./spread.ts";
import type { PeerResult, TokenizerReport, WorkloadResult } from "./tokenizer.ts";

const US = "lowrank";

/** MB of UTF-8 a second. */
function speed(bytes: number, spread: Spread | null | undefined): number | null {
  return spread ? bytes / 1000 / spread.median : null;
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

/** What was measured, in tables, and Lowrank's ratios to the others. */
export function tables(report: TokenizerReport): string {
  const { workloads, peers } = report;
  const [first] = workloads;
  const parts = [`\nids: compared with ${report.reference}, before anything is timed`];
  const columns: Column<PeerResult>[] = [
    { header: "", value: ({ name }) => name },
    { header: "version", value: ({ version }) => version },
    { header: "exact", value: exactness },
    { header: "init ms", value: ({ init }) => init, digits: 1 },
    { header: "gzip MB", value: ({ wireBytes }) => wireBytes && wireBytes / 1e6, digits: 2 },
    ...workloads.map(({ name }) => ({
      header: `peak MB, ${name}`,
      value: ({ texts }: PeerResult) => bytesOrNull(texts[name]),
      digits: 0,
    })),
  ];
  parts.push(renderTable(columns, peers));
  for (const { name, bytes } of workloads) {
    parts.push(`\n${name}: MB/s of UTF-8 (first: median of ${report.rounds} fresh processes; warm, decode: median)`);
    parts.push(renderTable(speedColumns(name, bytes), peers));
  }
  parts.push("\none word of n letters: ms (-: over the time limit)", renderTable(wordColumns(), peers));
  if (first) parts.push(`\n${ratios(report)}`);
  for (const { name, faults } of peers) if (faults.length > 0) parts.push(`${name}: ${faults.join("; ")}`);
  return parts.join("\n");
}

function bytesOrNull(result: WorkloadResult | undefined): number | null {
  return result?.peakBytes ? result.peakBytes / 1e6 : null;
}

function speedColumns(workload: string, bytes: number): Column<PeerResult>[] {
  const of = ({ texts }: PeerResult) => texts[workload];
  // From the slow quartile to the fast one.
  const range = (spread: Spread | null | undefined) =>
    spread ? `${(bytes / 1000 / spread.high).toFixed(1)}-${(bytes / 1000 / spread.low).toFixed(1)}` : null;
  return [
    { header: "", value: ({ name }) => name },
    { header: "first", value: (peer) => speed(bytes, of(peer)?.first), digits: 1 },
    { header: "warm", value: (peer) => speed(bytes, of(peer)?.warm), digits: 1 },
    { header: "quartiles", value: (peer) => range(of(peer)?.warm) },
    { header: "decode", value: (peer) => speed(bytes, of(peer)?.decode), digits: 1 },
    { header: "quartiles", value: (peer) => range(of(peer)?.decode) },
    { header: "repeats", value: (peer) => of(peer)?.warm?.repeats ?? null },
  ];
}

function wordColumns(): Column<PeerResult>[] {
  const lengths = [5_000, 20_000, 80_000];
  return [
    { header: "", value: ({ name }) => name },
    ...["a", "letters"].flatMap((kind) =>
      lengths.map((length) => ({
        header: `${kind} ${length / 1000}k`,
        value: ({ words }: PeerResult) => words[`${kind}, ${length}`] ?? null,
        digits: 1,
      })),
    ),
  ];
}

/** How many times as fast as gpt-tokenizer and as the fastest exact peer Lowrank is. */
function ratios({ workloads, peers }: TokenizerReport): string {
  const us = peers.find(({ name }) => name === US);
  const others = peers.filter((peer) => peer.name !== US && isExact(peer));
  return workloads
    .flatMap(({ name, bytes }) =>
      (["first", "warm", "decode"] as const).map((kind) => {
        const of = (peer: PeerResult | undefined) => speed(bytes, peer?.texts[name]?.[kind]) ?? 0;
        const fastest = others.reduce((best, peer) => (of(peer) > of(best) ? peer : best), others[0]!);
        const known = others.find((peer) => peer.name === "gpt-tokenizer");
        const times = (peer: PeerResult | undefined) => (of(us) / of(peer)).toFixed(1);
        return `${name}, ${kind}: ${times(fastest)} x the fastest exact peer (${fastest?.name}), ${times(known)} x gpt-tokenizer`;
      }),
    )
    .join("\n");
}

/** Encoding speed as bars, a panel a workload, first pass and warm. */
export function speedChart({ workloads, peers, machine }: TokenizerReport): string {
  const panels = workloads.flatMap(({ name, bytes }): BarPanel[] =>
    (["first", "warm"] as const).map((kind) => ({
      title: `${name}, ${kind === "first" ? "first pass" : "warm"}`,
      values: peers.map((peer) => speed(bytes, peer.texts[name]?.[kind])),
    })),
  );
  return barChart({
    title: "GPT-2 tokenizers: MB of text a second",
    note: `${machine.cpu}, Node ${machine.node}; an asterisk: not the reference's ids`,
    names: peers.map((peer) => (isExact(peer) ? peer.name : `${peer.name} *`)),
    highlight: peers.findIndex(({ name }) => name === US),
    panels,
  });
}
