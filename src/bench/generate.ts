/** `bench generate`: generation with a GPT-2 with random weights, optionally compared with transformers. */

import { describeDevice } from "../backend/backend.ts";
import type { DeviceName } from "../backend/device.ts";
import { openBackend } from "../backend/device.ts";
import { digits } from "../format.ts";
import { formatBytes } from "../plan/memory.ts";
import { renderTable } from "../views/terminal/render.ts";
import torchScript from "./generate_torch.py";
import { type GenerationOptions, type GenerationResult, inWords, measureGeneration, type Round } from "./generation.ts";
import { describeMachine, machine } from "./machine.ts";
import { Dialogue } from "./processes.ts";
import { CONFIGS } from "./shapes.ts";

interface GenerateBenchOptions extends GenerationOptions {
  device: DeviceName;
  threads?: number;
  peer?: "torch";
  json?: boolean;
}

/** The results of transformers. */
interface Peer {
  version: string;
  /** PyTorch's version. */
  torch: string;
  rounds: Round[];
}

function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

export async function benchGenerate(options: GenerateBenchOptions): Promise<number> {
  const torch = options.peer === "torch" ? new Dialogue("python3", ["-c", torchScript]) : null;
  const device = await openBackend(options.device, { threads: options.threads });
  const { info } = device;
  try {
    const peer = torch && (await startTorch(torch, options));
    const otherRound = async () => void peer?.rounds.push(await torch!.ask<Round>("round"));
    const ours = await measureGeneration(device, options, { otherRound, cpuTime });
    if (options.json) console.log(JSON.stringify({ machine: machine(), device: info, options, ours, torch: peer }));
    else console.log(`${describeMachine(machine())}\n${describeDevice(info)}\n${report(options, ours, peer)}`);
  } finally {
    torch?.end();
    device.destroy();
  }
  return 0;
}

/** Starts transformers with the same sizes and number of threads, greedy decoding and its cache. */
async function startTorch(
  torch: Dialogue,
  { model, prompts, length, tokens, threads }: GenerateBenchOptions,
): Promise<Peer> {
  const job = { ...CONFIGS[model], prompts, length, tokens, threads: threads || machine().cores };
  const about = await torch.begin<Omit<Peer, "rounds">>(job, "transformers", "torch and transformers");
  return { ...about, rounds: [] };
}

function report(options: GenerateBenchOptions, ours: GenerationResult, torch: Peer | null): string {
  const { model, dtype, prompts, length, tokens } = options;
  const mine = inWords(ours.rounds, options);
  const total = ours.kernels.reduce((sum, [, time]) => sum + time, 0);
  const lines = [
    `${model}${dtype === "f32" ? "" : ` in ${dtype}`}, ${prompts === 1 ? "1 prompt" : `${prompts} prompts`} of ${length} tokens per batch, ${tokens} new tokens each, greedy`,
    `lowrank:      ${mine.words}`,
    `memory:       ${formatBytes(ours.planned)} planned`,
  ];
  if (torch) {
    const peer = inWords(torch.rounds, options);
    lines.push(
      `alternating with transformers ${torch.version} on PyTorch ${torch.torch}:`,
      `transformers: ${peer.words}`,
      `ratio:        ${(mine.speed / peer.speed).toFixed(2)} x the speed, ${(mine.cpu / peer.cpu).toFixed(2)} x the CPU time, ` +
        `${(mine.first / peer.first).toFixed(2)} x the time to the first token`,
    );
  }
  if (total > 0)
    lines.push(
      renderTable(
        [
          { title: "kernel", value: ([name]) => name },
          { title: "ms", value: ([, time]) => time, format: digits(1) },
          { title: "share, %", value: ([, time]) => (100 * time) / total, format: digits(1) },
        ],
        ours.kernels,
      ),
    );
  return lines.join("\n");
}
