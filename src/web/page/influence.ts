/** A message with its words coloured by their influence on its label. */
import type { Influences, Part } from "../../infer/influence.ts";
import { h, scrollArea } from "./dom.ts";

/** Shades of a word, for and against: `for1` to `for3` of the style sheet. */
const SHADES = 3;
/** Influences below this are not coloured, nor those below the share of the largest one. */
const [LEAST, SHARE] = [0.005, 0.1];
/** Words that the sentence names, for and against. */
const NAMED = 3;

export function influence(text: string, { label, parts, words }: Influences): HTMLElement[] {
  if (parts.length === 0) return [];
  const most = Math.max(...parts.map((part) => Math.abs(part.influence)));
  const isSeen = ({ influence }: Part) => Math.abs(influence) >= Math.max(LEAST, SHARE * most);
  let at = 0;
  const content = parts.flatMap((part) => {
    const { start, end, influence } = part;
    const shade = `${influence > 0 ? "for" : "against"}${Math.ceil((SHADES * Math.abs(influence)) / most)}`;
    const word = h("span", { class: isSeen(part) ? shade : "", title: points(influence) }, text.slice(start, end));
    const before = text.slice(at, start);
    at = end;
    return [before, word];
  });
  return [
    h("h3", {}, "Which words count: leave one out"),
    scrollArea("Message with its words coloured", h("p", { class: "prose" }, content, text.slice(at)), "words"),
    h(
      "p",
      { class: "scale", "aria-hidden": "true" },
      `against ${label} `,
      h("span", {}, swatches("against").reverse(), h("i"), swatches("for")),
      ` for ${label}`,
    ),
    h("p", { class: "help" }, `${about(label, words)} ${named(text, label, parts.filter(isSeen))}`),
  ];
}

const swatches = (side: string) => Array.from({ length: SHADES }, (_, i) => h("i", { class: `${side}${i + 1}` }));

/** "+12.3 points" */
const points = (influence: number) => `${influence < 0 ? "−" : "+"}${(100 * Math.abs(influence)).toFixed(1)} points`;

function about(label: string, words: number): string {
  const what = words === 1 ? "each word in turn" : `${words} words at a time, as the message is long,`;
  return `The message is classified again without ${what}: the more the probability of ${label} falls, the more the word counts for it.`;
}

/** The parts with the largest influence, in words. */
function named(text: string, label: string, parts: readonly Part[]): string {
  const list = (some: Part[]) =>
    some
      .slice(0, NAMED)
      .map(({ start, end, influence }) => `“${text.slice(start, end)}” (${points(influence)})`)
      .join(", ");
  const sorted = parts.toSorted((a, b) => b.influence - a.influence);
  const pro = list(sorted.filter(({ influence }) => influence > 0));
  const contra = list(sorted.filter(({ influence }) => influence < 0).reverse());
  if (pro === "" && contra === "")
    return "No word alone changes it by half a point: the label does not depend on a single word.";
  return [pro === "" ? "" : `Most for ${label}: ${pro}.`, contra === "" ? "" : `Most against it: ${contra}.`]
    .join(" ")
    .trim();
}
