/** A device that is watched: what is written to it, and what it holds. */
import type { Backend, Session } from "../../src/backend/backend.ts";
import type { Heap } from "../../src/backend/wasm-heap.ts";
import { DeviceError } from "../../src/core/errors.ts";
import { testDevice } from "./device.ts";

/**
 * A device that counts what is written, by the tensor's name, the batches, the tokens of prefills, and the sessions that
 * are there. `onBatch` is called before a batch.
 */
export async function counting() {
  const device = await testDevice();
  const written = new Map<string, number>();
  const state = { written, sessions: 0, batches: 0, prefilled: 0, isFull: false, onBatch() {} };
  const inner = new WeakMap<Session, Session>();
  const backend: Backend = {
    // No small model is made to check it.
    info: { ...device.info, kind: "wasm" },
    limits: device.limits,
    destroy() {},
    async prepare(program, sharedFrom) {
      const session = await device.prepare(program, sharedFrom && inner.get(sharedFrom));
      state.sessions++;
      const watched = Object.create(session, {
        write: {
          value: (...[tensor, data, offset]: Parameters<Session["write"]>) => {
            if (state.isFull && tensor.role !== "input") throw new DeviceError("out-of-memory", "the device is full");
            written.set(tensor.name, (written.get(tensor.name) ?? 0) + data.byteLength);
            session.write(tensor, data, offset);
          },
        },
        run: {
          value: (...args: Parameters<Session["run"]>) => {
            state.onBatch();
            state.batches++;
            if (args[0].includes("prefill")) state.prefilled += args[1].tokens;
            session.run(...args);
          },
        },
        destroy: {
          value: () => {
            state.sessions--;
            session.destroy();
          },
        },
      }) as Session;
      inner.set(watched, session);
      return watched;
    },
  };
  return { backend, written, state };
}

/** Tells the bytes that a device holds for sessions; 0 where that is in another thread. */
export async function watchMemory(): Promise<() => number> {
  const device = (await testDevice()) as Backend & { heap?: Heap; device?: GPUDevice };
  if (device.heap) return () => device.heap!.usedBytes;
  const sizes = new Map<GPUBuffer, number>();
  const gpu = device.device;
  if (gpu) {
    const create = gpu.createBuffer.bind(gpu);
    gpu.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      const destroy = buffer.destroy.bind(buffer);
      sizes.set(buffer, descriptor.size);
      buffer.destroy = () => {
        sizes.delete(buffer);
        destroy();
      };
      return buffer;
    };
  }
  return () => [...sizes.values()].reduce((sum, size) => sum + size, 0);
}
