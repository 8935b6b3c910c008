/** Models of the same base on a device share its frozen tensors: each takes them from one that is there. */
import type { Backend } from "../backend/backend.ts";
import type { Weights } from "./weights.ts";

interface Base {
  /** The engines that have its tensors. */
  engines: Set<Weights>;
  /** One is loaded at a time: the next takes the tensors from it. */
  last: Promise<unknown>;
}

const known = new WeakMap<Backend, Map<string, Base>>();

/**
 * Loads an engine, which `load` makes with the frozen tensors of another of this name, if there is one. Engines of a
 * name have the same weights of a base model, of the same type, and the same layout.
 */
export function shareBase<E extends Weights>(
  device: Backend,
  name: string,
  load: (sharedFrom: E | undefined) => Promise<E>,
): Promise<E> {
  const bases = known.get(device) ?? new Map<string, Base>();
  known.set(device, bases);
  const base = bases.get(name) ?? { engines: new Set(), last: Promise.resolve() };
  bases.set(name, base);
  const loading = base.last.then(async () => {
    const [first] = base.engines;
    const engine = await load(first as E | undefined);
    base.engines.add(engine);
    engine.onDestroy = () => {
      base.engines.delete(engine);
      if (base.engines.size === 0) bases.delete(name);
    };
    return engine;
  });
  base.last = loading.catch(() => {});
  return loading;
}
