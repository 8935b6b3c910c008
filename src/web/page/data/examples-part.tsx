/** One field for examples: typed, or pasted from a spreadsheet. */
import { bound } from "../shared/controls.tsx";
import { usePart } from "../shared/scroll.ts";
import { examples, examplesHelp } from "./examples.ts";

const PLACEHOLDER = `spam: You have won a prize, call now
ham: See you at eight
…`;

export function Examples() {
  const field = usePart<HTMLTextAreaElement>("examples", "nearest");
  return (
    <div>
      <label for="examples">
        Examples: in each line a label, a colon and a text. Or paste columns of a spreadsheet.
      </label>
      <textarea
        {...{ id: "examples", ref: field, rows: 8, placeholder: PLACEHOLDER, dir: "auto" }}
        {...bound(examples)}
      />
      <p class="help" role="status">
        {examplesHelp.value}
      </p>
    </div>
  );
}
