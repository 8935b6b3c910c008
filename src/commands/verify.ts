/** verify: runs golden fixtures and compares every tensor with what PyTorch computed. */

import { joinPath, openFile, writeFileAtomic } from "#platform";
import { describeDevice } from "../backend/backend.ts";
import { CompareBackend } from "../backend/compare.ts";
import { type DeviceName, openDevice } from "../backend/device.ts";
import { shadersOf, wgslOf } from "../backend/webgpu-shaders.ts";
import { ConfigError } from "../errors.ts";
import { encodeSafetensors, SafetensorsFile } from "../io/safetensors.ts";
import { KERNELS } from "../ops/generated/kernels.ts";
import { type Comparison, type GoldenResult, passes, runGolden } from "../verify/golden.ts";
import { command, deviceFlag, main, print, threadsFlag } from "./cli.ts";

const program = command(
  "verify",
  "Runs golden fixture files and prints one line a tensor: its error against PyTorch, and the tolerance.\n" +
    "Exits 1 where an error is beyond its tolerance.",
  "  verify test/golden/*.safetensors\n  verify --out actual test/golden/01_cls_lora_all_r4_last.safetensors",
)
  .argument("[file...]", "fixture files (test/golden/README.md tells what is in them)")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--bisect", "replay every dispatch on WebGPU and on WASM, and name the first whose results differ")
  .option("--wgsl <shader>", "print a shader as it is compiled, such as matmul_wide, and do nothing else")
  .option("--out <dir>", "write what was computed to DIR/<case>.actual.safetensors");

interface VerifyFlags {
  device: DeviceName;
  threads?: number;
  bisect?: boolean;
  wgsl?: string;
  out?: string;
}

function line(comparison: Comparison): string {
  const { name, measure, error, tolerance } = comparison;
  const verdict = passes(comparison) ? "ok  " : "FAIL";
  return `  ${verdict} ${name.padEnd(36)} ${error.toExponential(1).padStart(8)} of ${tolerance.toExponential(0)}  ${measure}`;
}

async function write(directory: string, result: GoldenResult): Promise<void> {
  const tensors = [...result.actual].map(([name, { shape, data }]) => ({ name, shape, dtype: "F32" as const, data }));
  await writeFileAtomic(joinPath(directory, `${result.case}.actual.safetensors`), encodeSafetensors(tensors));
}

/** The text of a shader. Throws ConfigError for a name that none has. */
function wgsl(shader: string): string {
  const kernel = KERNELS.find((one) => shadersOf(one).includes(shader));
  if (kernel) return wgslOf(kernel, shader);
  throw new ConfigError("there is no such shader", {
    expected: KERNELS.flatMap(shadersOf).join(", "),
    found: shader,
  });
}

/** Both backends, the one that was asked for second: it is the one in doubt. */
async function openBoth({ device, threads = 0 }: { device: DeviceName; threads?: number }): Promise<CompareBackend> {
  const [webgpu, wasm] = [await openDevice("webgpu"), await openDevice("wasm", { threads })];
  return device === "webgpu" ? new CompareBackend(wasm, webgpu) : new CompareBackend(webgpu, wasm);
}

await main(async () => {
  program.parse();
  const options = program.opts<VerifyFlags>();
  if (options.wgsl !== undefined) {
    console.log(wgsl(options.wgsl));
    return 0;
  }
  if (program.args.length === 0)
    throw new ConfigError("no fixture file is named", { hint: "verify test/golden/*.safetensors" });
  const device = options.bisect
    ? await openBoth(options)
    : await openDevice(options.device, { threads: options.threads });
  const worst = new Map<string, Comparison>();
  let bad = 0;
  try {
    console.log(`device: ${describeDevice(device.info)}`);
    for (const path of program.args) {
      const reader = await openFile(path);
      try {
        const result = await runGolden(await SafetensorsFile.open(reader), device);
        print(result.case);
        for (const comparison of result.comparisons) {
          print(line(comparison));
          if (!passes(comparison)) bad++;
          const kind = `${comparison.kind} (${comparison.measure})`;
          const before = worst.get(kind);
          if (!before || !(comparison.error <= before.error)) worst.set(kind, comparison);
        }
        if (options.out !== undefined) await write(options.out, result);
      } finally {
        await reader.close();
      }
    }
    if (device instanceof CompareBackend)
      console.log(`${device.compared} dispatches give the same results on both devices`);
  } finally {
    device.destroy();
  }
  console.log("worst error of each kind");
  for (const [kind, { error, tolerance, name }] of worst)
    print(`  ${kind.padEnd(36)} ${error.toExponential(1)} of ${tolerance.toExponential(0)}  (${name})`);
  console.log(bad === 0 ? `${program.args.length} files, all within tolerance` : `${bad} values are beyond tolerance`);
  return bad === 0 ? 0 : 1;
});
