/** A message with its words coloured by their influence on its label, each of which can be left out. */

import type { TextOrPair } from "../core/pair.ts";
import type { Influences, TextPart } from "../infer/influence.ts";
import { ScrollArea } from "./components.tsx";
import { LabelName } from "./verdict.tsx";

/**
 * How many times the odds change from which a word has each of three shades: `for1` to `for3` of the style sheet. The
 * same in every message, so that a word that decides looks like one.
 */
const SHADES = [1.5, 3, 10];
/** Words that the sentence names, for and against. */
const NAMED = 3;

type WordsProps = Influences & {
  text: TextOrPair;
  /** The parts that are left out. */
  out: ReadonlySet<number>;
  toggle: (part: number) => void;
};

export function Words({ text, label, parts, words, out, toggle }: WordsProps) {
  if (parts.length === 0) return null;
  const name = <LabelName name={label} />;
  return (
    <>
      <h3>Which words count? Click one to leave it out</h3>
      <ScrollArea label="Message with its words coloured" kind="words">
        {[text].flat().map((side, of) => {
          const inside = [...parts.entries()].filter(([, part]) => part.of === of);
          const isLast = inside.filter(([i]) => !out.has(i)).length === 1;
          return (
            <p key={of} class="prose" dir="auto">
              {inside.map(([i, part], at) => [
                side.slice(inside[at - 1]?.[1].end ?? 0, part.start),
                <label key={i} class={shade(part)} title={`Without it the odds ${describeChange(part)}`}>
                  <input
                    {...{ type: "checkbox", class: "hidden-input", checked: !out.has(i) }}
                    disabled={isLast && !out.has(i)}
                    onInput={() => toggle(i)}
                  />
                  {side.slice(part.start, part.end)}
                </label>,
              ])}
              {side.slice(inside.at(-1)?.[1].end ?? 0)}
            </p>
          );
        })}
      </ScrollArea>
      <p class="scale" aria-hidden="true">
        <small>against {name}</small>
        <span>
          {SHADES.toReversed().map((times, i) => (
            <i key={times} class={`against${SHADES.length - i}`}>
              {times}×
            </i>
          ))}
          <i />
          {SHADES.map((times, i) => (
            <i key={times} class={`for${i + 1}`}>
              {times}×
            </i>
          ))}
        </span>
        <small>for {name}</small>
      </p>
      {out.size > 0 && <p>The answer above is that without the words that are crossed out. A click puts one back.</p>}
      <p class="help">
        <Named text={text} parts={parts} /> The message was classified again without{" "}
        {words === 1 ? "each word, one at a time" : `${words} words at a time, as it is long`}: the colour says how many
        times the odds of {name} change. 90 % are odds of 9 to 1, 99 % of 99 to 1.
      </p>
    </>
  );
}

function shade({ influence }: TextPart): string {
  const times = Math.exp(Math.abs(influence));
  const reached = SHADES.filter((least) => times >= least).length;
  return reached === 0 ? "" : `${influence > 0 ? "for" : "against"}${reached}`;
}

const FRACTIONS = [
  "half",
  "a third",
  "a quarter",
  "a fifth",
  "a sixth",
  "a seventh",
  "an eighth",
  "a ninth",
  "a tenth",
];
/** Beyond it nobody counts. */
const MOST = 1000;

const MULTIPLES = ["rise by half", "double", "triple"];

/** "fall to a quarter", "double", "rise to 7 times" */
function describeChange({ influence }: TextPart): string {
  const exact = Math.exp(Math.abs(influence));
  const times = Math.min(Math.round(exact), MOST);
  if (exact < 1.25) return "hardly change";
  if (influence < 0) return MULTIPLES[times - 1] ?? `rise to ${times === MOST ? "over " : ""}${times} times`;
  if (times === 1) return "fall to two thirds";
  return `fall to ${times === MOST ? "under " : ""}${FRACTIONS[times - 2] ?? `1/${times}`}`;
}

/** The parts that change the odds most. */
function Named({ text, parts }: { text: TextOrPair; parts: readonly TextPart[] }) {
  const list = (sign: number) =>
    parts
      .filter((part) => shade(part) !== "" && Math.sign(part.influence) === sign)
      .sort((a, b) => sign * (b.influence - a.influence))
      .slice(0, NAMED)
      .map((part, i) => [
        i > 0 && ", ",
        <bdi key={i}>“{[text].flat()[part.of]!.slice(part.start, part.end)}”</bdi>,
        ` (${i === 0 ? "without it the odds " : ""}${describeChange(part)})`,
      ]);
  const [pro, contra] = [list(1), list(-1)];
  if (pro.length + contra.length === 0)
    return "No word alone changes the odds much: the label rests on several together.";
  return (
    <>
      {pro.length > 0 && <>Most for this label: {pro}. </>}
      {contra.length > 0 && <>Most against this label: {contra}. </>}
    </>
  );
}
