/** The check of a device that classifies or generates, which a page without WebGPU does not load. */
import type { Backend } from "../backend/backend.ts";

/** What checks a device; null: the CPU needs no check. */
export const loadCheck = async ({ info }: Backend) => (info.kind === "webgpu" ? import("./inference-check.ts") : null);
