/** `lowrank dev verify`: runs golden fixtures and compares every tensor with PyTorch's. */

import { openFile } from "#platform";
import { describeDevice } from "../../src/backend/backend.ts";
import { CompareBackend } from "../../src/backend/compare.ts";
import { openBackend } from "../../src/backend/device.ts";
import { listShaders } from "../../src/backend/webgpu-shaders.ts";
import { assembleShader } from "../../src/backend/webgpu-source.ts";
import { calledAs } from "../../src/commands/called.ts";
import { command, type DeviceFlags, deviceFlag, main, print, threadsFlag } from "../../src/commands/cli.ts";
import { ConfigError } from "../../src/core/errors.ts";
import { SafetensorsFile } from "../../src/io/safetensors/safetensors.ts";
import { KERNELS } from "../../src/ops/generated/kernels.ts";
import { type Comparison, passes, runGolden } from "../helpers/golden.ts";

const program = command(
  "dev verify",
  "Runs golden fixture files and prints one line per tensor: its error relative to PyTorch, and the tolerance.\n" +
    "The exit code is 1 if an error exceeds its tolerance.",
  ["test/golden/01_cls_lora_all_r4_last.safetensors", "--bisect test/golden/01_cls_lora_all_r4_last.safetensors"],
)
  .argument("[file...]", "fixture files (described in test/golden/README.md)")
  .addOption(deviceFlag())
  .addOption(threadsFlag())
  .option("--bisect", "run every dispatch on WebGPU and WASM, and report the first whose results differ")
  .option("--wgsl <shader>", "print the compiled source of a shader, such as matmul_wide, and exit");

interface VerifyFlags extends DeviceFlags {
  bisect?: boolean;
  wgsl?: string;
}

function line(comparison: Comparison): string {
  const { name, measure, error, tolerance } = comparison;
  const verdict = passes(comparison) ? "ok  " : "FAIL";
  return `  ${verdict} ${name.padEnd(36)} ${error.toExponential(1).padStart(8)} of ${tolerance.toExponential(0)}  ${measure}`;
}

/** The source of a shader. Throws ConfigError for an unknown name. */
function wgsl(name: string): string {
  const all = KERNELS.flatMap((kernel) => listShaders(kernel).map((shader) => ({ kernel, shader })));
  const found = all.find(({ shader }) => shader.name === name);
  if (found) return assembleShader(found.kernel, found.shader);
  const names = all.map(({ shader }) => shader.name);
  // A kernel that is a matrix product has several shaders.
  const near = names.filter((one) => one.startsWith(name));
  throw new ConfigError("unknown-value", "unknown shader", {
    expected: (near.length > 0 ? near : names).join(", "),
    found: name,
  });
}

/** Opens both backends; the requested one is compared with the other. */
async function openBoth({ device, threads = 0 }: DeviceFlags): Promise<CompareBackend> {
  const isGPU = device.startsWith("webgpu");
  const [webgpu, wasm] = [await openBackend(isGPU ? device : "webgpu"), await openBackend("wasm", { threads })];
  return isGPU ? new CompareBackend(wasm, webgpu) : new CompareBackend(webgpu, wasm);
}

await main(async () => {
  program.parse();
  const options = program.opts<VerifyFlags>();
  if (options.wgsl !== undefined) {
    console.log(wgsl(options.wgsl));
    return 0;
  }
  if (program.args.length === 0)
    throw new ConfigError("no-input", "no fixture file is given", {
      hint: `${calledAs("dev verify")} test/golden/01_cls_lora_all_r4_last.safetensors`,
    });
  const device = options.bisect
    ? await openBoth(options)
    : await openBackend(options.device, { threads: options.threads });
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
      } finally {
        await reader.close();
      }
    }
    if (device instanceof CompareBackend) console.log("every dispatch has the same results on both devices");
  } finally {
    device.destroy();
  }
  console.log("largest error of each kind");
  for (const [kind, { error, tolerance, name }] of worst)
    print(`  ${kind.padEnd(36)} ${error.toExponential(1)} of ${tolerance.toExponential(0)}  (${name})`);
  console.log(
    bad === 0 ? `${program.args.length} files, all within tolerance` : `${bad} values exceed their tolerance`,
  );
  return bad === 0 ? 0 : 1;
});
