/** Training messages that the model finds most like the message, and a map of its test messages. */
import { type Signal, useSignal, useSignalEffect } from "@preact/signals";
import { formatCount } from "../../../format.ts";
import { hasLabels, hasValues } from "../../../tasks/index.ts";
import type { Alike, ErrorReport } from "../../protocol.ts";
import { ask } from "../shared/ask.ts";
import { ErrorBox } from "../shared/error.tsx";
import { worker } from "../shared/worker.ts";
import { MessageList } from "../try/message-list.tsx";
import { asked, classifier } from "../try/try.ts";
import { TestMap } from "./map.tsx";

/** Milliseconds without input until the messages are looked for that are like the typed one. */
const PAUSE = 400;

/** What the worker has answered; null: nothing yet. `begin` reads the signals that change the question. */
function useAnswer<T>(begin: () => () => Promise<T | null>, pause: number) {
  const found: Signal<{ answer: T | null; error?: ErrorReport }> = useSignal({ answer: null });
  useSignalEffect(() =>
    ask(
      begin(),
      (answer) => {
        found.value = { answer };
      },
      (error) => {
        found.value = { answer: null, error };
      },
      pause,
    ),
  );
  return found.value;
}

/** Of one run, as it is now. */
export function WhyPart() {
  const { id, record } = classifier.value!;
  const hasMap = hasLabels(record) && !hasValues(record);
  const map = useAnswer(() => async () => (hasMap ? worker.testMap(id) : null), 0);
  const nearest = useAnswer(() => {
    const now = asked.value;
    return async () => now && worker.nearest(id, now.text);
  }, PAUSE);
  const error = nearest.error ?? map.error;
  if (error) return <ErrorBox report={error} />;
  return (
    <>
      {asked.value && (
        <section class="part" aria-live="polite" aria-label="Training messages like this one">
          <h3>Training messages that the model finds most like it</h3>
          {nearest.answer ? <Nearest {...nearest.answer} /> : <p class="help">Reading training messages …</p>}
        </section>
      )}
      {hasMap && (map.answer ? <TestMap {...map.answer} /> : <p class="help">Reading test messages …</p>)}
    </>
  );
}

function Nearest({ messages, read, of }: Alike) {
  return (
    <>
      <MessageList id="alike" messages={messages} />
      <p class="help">
        With the labels of your data: what the model's last layer makes of these differs least from what it makes of
        yours (cosine of the hidden states). {ofAll(read, of)} training messages were compared.
      </p>
    </>
  );
}

/** "300 of 1,200", "All 80" */
const ofAll = (read: number, of: number) =>
  read < of ? `${formatCount(read)} of ${formatCount(of)}` : `All ${formatCount(of)}`;
