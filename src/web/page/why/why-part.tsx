/** Training messages that the model finds most like the message, and a map of its test messages. */
import { type Signal, signal, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { formatCount } from "../../../format.ts";
import { hasLabels, hasValues } from "../../../tasks/index.ts";
import type { Alike, ErrorReport, ReadSet } from "../../protocol.ts";
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

/** The share of each set that was read for this. */
const shares = signal<Readonly<Partial<Record<ReadSet, number>>>>({});

worker.listen((event) => {
  if (event.type === "alike") shares.value = { ...shares.value, [event.of]: event.share };
});

/** Of one run, as it is now, until the visitor closes it. */
export function WhyPart({ close }: { close: () => void }) {
  useEffect(() => {
    shares.value = {};
    return () => void worker.stopAlike();
  }, []);
  const { id, record } = classifier.value!;
  const hasMap = hasLabels(record) && !hasValues(record);
  const nearest = useAnswer(() => {
    const now = asked.value;
    return async () => now && worker.nearest(id, now.text);
  }, PAUSE);
  const map = useAnswer(() => async () => (hasMap ? worker.testMap(id) : null), PAUSE);
  const error = nearest.error ?? map.error;
  if (error) return <ErrorBox report={error} />;
  const isReading = (asked.value && !nearest.answer) || (hasMap && !map.answer);
  return (
    <>
      {asked.value && (
        <section class="part" aria-live="polite" aria-label="Training messages like this one">
          <h3>Training messages that the model finds most like it</h3>
          {nearest.answer ? <Nearest {...nearest.answer} /> : <Reading of="training" />}
        </section>
      )}
      {hasMap && (map.answer ? <TestMap {...map.answer} /> : <Reading of="test" />)}
      {isReading && (
        <div class="row">
          <button type="button" onClick={close}>
            Stop
          </button>
        </div>
      )}
    </>
  );
}

function Reading({ of }: { of: ReadSet }) {
  const text = `Reading ${of} messages`;
  return (
    <div class="row">
      <progress value={shares.value[of] ?? 0} aria-label={text} />
      <p class="help">{text} …</p>
    </div>
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
