/** The machine of a measurement. */
import { createRequire } from "node:module";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { version } from "../../package.json";

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  system: string;
  node: string;
  lowrank: string;
  /** The version of the package `webgpu`, an optional peer, which contains Dawn; "not installed" without it. */
  webgpu: string;
}

export function machine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    lowrank: version,
    webgpu: webgpuVersion(),
  };
}

function webgpuVersion(): string {
  try {
    return createRequire(import.meta.url)("webgpu/package.json").version;
  } catch {
    return "not installed";
  }
}

export function describeMachine({ cpu, cores, memoryGiB, system, node, lowrank, webgpu }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}, Node ${node}, Lowrank ${lowrank}, webgpu ${webgpu}`;
}
