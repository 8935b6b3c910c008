/** What is computed of an answer when the visitor asks for it. */

import { type Signal, signal, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { formatCount, percent } from "../../../format.ts";
import { joinPair } from "../../../pair.ts";
import { hasLabels, hasValues, TASKS } from "../../../tasks/index.ts";
import { colorAt, KEY_WIDTH, Key, markAt } from "../../../views/charts/axes.tsx";
import { ScrollArea } from "../../../views/components.tsx";
import { LabelName } from "../../../views/verdict.tsx";
import type { Alike, ErrorReport, MessageMap, ReadSet } from "../../protocol.ts";
import { isTraining } from "../runs/runs.ts";
import { ask } from "../shared/ask.ts";
import { ErrorBox } from "../shared/error.tsx";
import { goTo } from "../shared/scroll.ts";
import { worker } from "../shared/worker.ts";
import { showAnswer } from "../try/judge.tsx";
import { MessageButton, MessageList } from "../try/message-list.tsx";
import { asked, classifier, isSameText, setMessage, trimmed, version } from "../try/try.ts";

export function Why() {
  const run = classifier.value;
  const isOpen = useSignal(false);
  const summary = useRef<HTMLElement>(null);
  const close = () => {
    isOpen.value = false;
    summary.current!.focus();
  };
  // An adapter from a file has no data, and a run that trains needs the device.
  const isOffered = run && run.state !== "loaded" && TASKS[run.record.objective].target === "text" && !isTraining.value;
  return (
    <details
      id="why"
      hidden={!isOffered}
      open={isOpen.value}
      onToggle={({ currentTarget }) => {
        isOpen.value = currentTarget.open;
      }}
    >
      <summary ref={summary}>Training messages like this one, and a map of the test messages</summary>
      {isOffered && isOpen.value && <WhyPart key={version.value} close={close} />}
    </details>
  );
}

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
function WhyPart({ close }: { close: () => void }) {
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

/** The picture's units, and the radii of a mark and of the ring around a mistake. */
const [WIDTH, HEIGHT, EDGE, MARK, RING] = [480, 240, 14, 4.5, 8.5];

type Point = MessageMap["points"][0];

const isWrong = ({ truth, answer }: Point) => truth !== answer;

const describe = (point: Point) =>
  isWrong(point) ? `${showAnswer(point.truth)}, mistaken for ${showAnswer(point.answer)}` : showAnswer(point.truth);

function TestMap({ points, shares, of }: MessageMap) {
  const { labels } = classifier.value!.record;
  const color = (truth: Point["truth"]) => labels.indexOf(showAnswer(truth));
  const wrong = points.filter(isWrong);
  if (points.length === 0) return <p class="help">There is no test set, of which a map could be drawn.</p>;
  return (
    <figure id="map" class="part">
      <figcaption>
        <h3>A map of {points.length < of ? `${points.length} of ${formatCount(of)}` : `the ${of}`} test messages</h3>
        <ul class="legend">
          {labels
            .filter((label) => points.some(({ truth }) => truth === label))
            .map((label) => (
              <li key={label}>
                <svg class="key" width={KEY_WIDTH} height={12} aria-hidden="true">
                  <Key look="point" color={color(label)} />
                </svg>
                <LabelName name={label} />
              </li>
            ))}
          <li>
            <svg class="key" width={KEY_WIDTH} height={12} aria-hidden="true">
              <circle class="ring" cx={14} cy={6} r={5} />
            </svg>
            {wrong.length} {wrong.length === 1 ? "mistake" : "mistakes"}
          </li>
        </ul>
      </figcaption>
      <Plot points={points} color={color} />
      <p class="help">
        Each mark is a message that the model has not learned from: click one to try it. What the model finds alike is
        close together; where colours mix, it cannot tell the labels apart. (The first two principal components of the
        last hidden state, {percent(shares[0], 0)} and {percent(shares[1], 0)} of the variance.)
      </p>
      <details>
        <summary>The same as a table, the mistakes first</summary>
        <PointTable points={[...wrong, ...points.filter((point) => !isWrong(point))]} />
      </details>
    </figure>
  );
}

function Plot({ points, color }: { points: readonly Point[]; color: (truth: Point["truth"]) => number }) {
  const scales = [WIDTH, HEIGHT].map((length, axis) => {
    const values = points.map(({ at }) => at[axis]!);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (value: number) => EDGE + (length - 2 * EDGE) * (high > low ? (value - low) / (high - low) : 0.5);
  });
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
      {points.map((point, i) => {
        const { text, truth, at } = point;
        const [x, y] = at.map((value, axis) => scales[axis]!(value)) as [number, number];
        const isTried = asked.value !== null && isSameText(asked.value.text, trimmed(text));
        const tryIt = () => {
          setMessage(text);
          goTo("try");
        };
        return (
          // biome-ignore lint/a11y: the keyboard has the table
          <g key={i} onClick={tryIt}>
            <title>{`${joinPair(text)}\n\n${describe(point)}`}</title>
            <circle class={`${isWrong(point) ? "ring" : ""} ${isTried ? "tried" : ""}`} cx={x} cy={y} r={RING} />
            <path d={markAt(color(truth), x, y, MARK)} fill={colorAt(color(truth))} />
          </g>
        );
      })}
    </svg>
  );
}

function PointTable({ points }: { points: readonly Point[] }) {
  return (
    <ScrollArea label="Test messages with their labels" kind="tall">
      <table>
        <thead>
          <tr>
            {["Message", "Label", "Answer"].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {points.map((point, i) => (
            <tr key={i}>
              <th scope="row">
                <MessageButton text={point.text} />
              </th>
              <td>
                <LabelName name={showAnswer(point.truth)} />
              </td>
              <td class={isWrong(point) ? "mistaken" : ""}>
                <LabelName name={showAnswer(point.answer)} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollArea>
  );
}
