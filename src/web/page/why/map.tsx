/** The test messages in the plane in which the model tells them apart. */
import { formatCount, percent } from "../../../format.ts";
import { joinPair } from "../../../pair.ts";
import { colorAt, KEY_WIDTH, Key, markAt } from "../../../views/charts/axes.tsx";
import { ScrollArea } from "../../../views/components.tsx";
import { LabelName } from "../../../views/verdict.tsx";
import type { MessageMap } from "../../protocol.ts";
import { goTo } from "../shared/scroll.ts";
import { showAnswer } from "../try/judge.tsx";
import { MessageButton } from "../try/message-list.tsx";
import { asked, classifier, isSameText, setMessage, trimmed } from "../try/try.ts";

/** The picture's units, and the radii of a mark and of the ring around a mistake. */
const [WIDTH, HEIGHT, EDGE, MARK, RING] = [480, 240, 14, 4.5, 8.5];

type Point = MessageMap["points"][0];

const isWrong = ({ truth, answer }: Point) => truth !== answer;

const describe = (point: Point) =>
  isWrong(point) ? `${showAnswer(point.truth)}, mistaken for ${showAnswer(point.answer)}` : showAnswer(point.truth);

export function TestMap({ points, shares, of }: MessageMap) {
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
