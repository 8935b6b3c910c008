/** The messages on which the visitor watches the shown run learn: their answers change with each checkpoint. */
import { computed, effect, signal } from "@preact/signals";
import { isUnderWay, type WatchedMessage } from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import { ask } from "../shared/ask.ts";
import { worker } from "../shared/worker.ts";

const latest = signal<{ id: string; messages: WatchedMessage[] } | null>(null);

/** Of the shown run; also when it has just been stopped. */
export const watched = computed(() => (latest.value?.id === shown.value?.id ? latest.value!.messages : []));

/** Changes when there are other answers. */
const version = computed(() => {
  const run = shown.value;
  return run && isUnderWay(run) ? `${run.id} ${run.checkpoint}` : null;
});

effect(() => {
  if (version.value === null) return;
  const { id } = shown.peek()!;
  const take = (messages: WatchedMessage[] | null) => {
    latest.value = messages && { id, messages };
  };
  return ask(
    () => worker.watch(id),
    take,
    () => {},
  );
});
