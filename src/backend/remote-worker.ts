/** The worker of a remote CPU backend: opens it, and handles the host's messages in order. */
import { listenToHost } from "#platform";
import { DeviceError, LowrankError } from "../errors.ts";
import type { Program } from "../plan/plan.ts";
import { Tensor } from "../tensor.ts";
import type { Backend, Session } from "./backend.ts";
import type { FromRemote, ProgramRecord, TensorRecord, ToRemote } from "./remote.ts";
import { openBackend } from "./wasm-backend.ts";
import { SingleThread } from "./wasm-kernels.ts";

interface Opened {
  session: Session;
  tensors: Tensor[];
}

let backend: Backend;
const sessions = new Map<number, Opened>();
/** The error of a message without an answer; reported by the next answer. */
let failure: unknown;
let work = Promise.resolve();

const post = listenToHost((data) => {
  const message = data as ToRemote;
  // Handled at once, ahead of the queue that it affects.
  if (message.type === "drop") sessions.get(message.session)?.session.drop(message.isOn);
  else work = work.then(() => handle(message));
});

type InTurn = Exclude<ToRemote, { type: "drop" }>;

async function handle(message: InTurn): Promise<void> {
  const hasAnswer = ["open", "prepare", "flush", "read"].includes(message.type);
  try {
    const value = failure === undefined ? await answer(message) : null;
    if (!hasAnswer) return;
    if (failure !== undefined) throw failure;
    post({ value } satisfies FromRemote);
  } catch (error) {
    if (hasAnswer) post({ failure: encodeFailure(error) } satisfies FromRemote);
    else failure = error;
  }
}

async function answer(message: InTurn): Promise<Extract<FromRemote, { value: unknown }>["value"]> {
  if (message.type === "open") {
    backend = await openBackend(message.kernels, 1, SingleThread.start);
    return { info: backend.info, limits: backend.limits };
  }
  if (message.type === "prepare") {
    const sharedFrom = message.sharedFrom && sessions.get(message.sharedFrom.session)!;
    // Backends detect shared tensors by identity.
    const tensors = message.sharedFrom?.tensors.map((number) => sharedFrom!.tensors[number]!) ?? [];
    add(tensors, message.tensors);
    const session = await backend.prepare(readProgram(message.program, tensors), sharedFrom?.session);
    sessions.set(message.session, { session, tensors });
    return null;
  }
  const { session, tensors } = sessions.get(message.session)!;
  if ("tensors" in message) add(tensors, message.tensors);
  switch (message.type) {
    case "write":
      session.write(tensors[message.tensor]!, message.data, message.offset);
      return null;
    case "flush":
      await session.flush();
      return null;
    case "read":
      return session.read(tensors[message.tensor]!, message.offset, message.count);
    case "run":
      session.run(message.segments, message.values);
      return null;
    case "destroy":
      session.destroy();
      sessions.delete(message.session);
      return null;
  }
}

function add(tensors: Tensor[], records: readonly TensorRecord[]): void {
  for (const { name, shape, role, dtype, root, offset, contents } of records)
    tensors.push(new Tensor(name, shape, role, dtype, root === null ? undefined : tensors[root], offset, contents));
}

function readProgram({ segments, buffers, bufferIndex }: ProgramRecord, tensors: readonly Tensor[]): Program {
  return {
    segments: segments.map(({ name, clears, dispatches }) => ({
      name,
      clears: clears.map((number) => tensors[number]!),
      dispatches: dispatches.map(({ kernel, isInPanels, ...dispatch }) => ({
        ...dispatch,
        kernel: { ...kernel, inPanels: () => isInPanels },
        tensors: dispatch.tensors.map((number) => (number === null ? null : tensors[number]!)),
      })),
    })),
    memory: { buffers, bufferIndex: new Map(bufferIndex.map(([number, buffer]) => [tensors[number]!, buffer])) },
  };
}

function encodeFailure(error: unknown): Extract<FromRemote, { failure: unknown }>["failure"] {
  const { message } = error as Error;
  const { cause: _, ...details } = error instanceof LowrankError ? error.details : {};
  const code = error instanceof DeviceError ? error.code : "device-failed";
  return { code, summary: message.split("\n")[0]!, details };
}
