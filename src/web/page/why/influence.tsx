/** A message with its words coloured by their influence on its label. */
import type { Influences, TextPart } from "../../../infer/influence.ts";
import type { TextOrPair } from "../../../pair.ts";
import { ScrollArea } from "../../../views/components.tsx";
import { LabelName } from "../../../views/verdict.tsx";

/** Shades of a word, for and against: `for1` to `for3` of the style sheet. */
const SHADES = [1, 2, 3];
/** Influences below this are not coloured, nor those below the share of the largest one. */
const [LEAST, SHARE] = [0.005, 0.1];
/** Words that the sentence names, for and against. */
const NAMED = 3;

export function Words({ text, label, parts, words }: Influences & { text: TextOrPair }) {
  if (parts.length === 0) return null;
  const most = Math.max(...parts.map((part) => Math.abs(part.influence)));
  const isSeen = ({ influence }: TextPart) => Math.abs(influence) >= Math.max(LEAST, SHARE * most);
  const shade = (part: TextPart) =>
    isSeen(part)
      ? `${part.influence > 0 ? "for" : "against"}${Math.ceil((SHADES.length * Math.abs(part.influence)) / most)}`
      : "";
  return (
    <>
      <h3>Which words count: leave one out</h3>
      <ScrollArea label="Message with its words coloured" kind="words">
        {[text].flat().map((one, of) => {
          const own = parts.filter((part) => part.of === of);
          return (
            <p key={of} class="prose" dir="auto">
              {own.map((part, i) => [
                one.slice(own[i - 1]?.end ?? 0, part.start),
                <span key={part.start} class={shade(part)} title={points(part.influence)}>
                  {one.slice(part.start, part.end)}
                </span>,
              ])}
              {one.slice(own.at(-1)?.end ?? 0)}
            </p>
          );
        })}
      </ScrollArea>
      <p class="scale" aria-hidden="true">
        against <LabelName name={label} />{" "}
        <span>
          {SHADES.toReversed().map((shade) => (
            <i key={shade} class={`against${shade}`} />
          ))}
          <i />
          {SHADES.map((shade) => (
            <i key={shade} class={`for${shade}`} />
          ))}
        </span>{" "}
        for <LabelName name={label} />
      </p>
      <p class="help">
        {about(label, words)} {named(text, label, parts.filter(isSeen))}
      </p>
    </>
  );
}

/** "+12.3 points" */
const points = (influence: number) => `${influence < 0 ? "−" : "+"}${(100 * Math.abs(influence)).toFixed(1)} points`;

function about(label: string, words: number): string {
  const what = words === 1 ? "each word, one at a time" : `${words} words at a time, as the message is long`;
  return `The message is classified again without ${what}: the more the probability of ${label} falls, the more the word counts for it.`;
}

/** The parts with the largest influence, in words. */
function named(text: TextOrPair, label: string, parts: readonly TextPart[]): string {
  const list = (some: TextPart[]) =>
    some
      .slice(0, NAMED)
      .map(({ of, start, end, influence }) => `“${[text].flat()[of]!.slice(start, end)}” (${points(influence)})`)
      .join(", ");
  const sorted = parts.toSorted((a, b) => b.influence - a.influence);
  const pro = list(sorted.filter(({ influence }) => influence > 0));
  const contra = list(sorted.filter(({ influence }) => influence < 0).reverse());
  if (parts.length === 0)
    return "No word alone changes it by half a point: the label does not depend on a single word.";
  return [pro && `Most for ${label}: ${pro}.`, contra && `Most against it: ${contra}.`].filter(Boolean).join(" ");
}
