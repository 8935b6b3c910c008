/** Notes on the visitor's data, each with a button that deals with it. */

import { formatCount } from "../../../core/format.ts";
import type { Problem } from "../../../data/problems.ts";
import { DEFAULT_OBJECTIVE, type Objective } from "../../../tasks/index.ts";
import { WORDS } from "../../../tasks/words.ts";
import type { Remedy } from "../shared/error.tsx";
import { goTo } from "../shared/scroll.ts";
import { inPageWords, sentence } from "../shared/words.ts";
import { set, values } from "../train/fields.ts";
import { corrected, messages, readAs, report, setCorrected } from "./data.ts";
import { ENCODINGS } from "./file-fields.tsx";
import { correct, DROP, saveCorrections } from "./review.ts";

/** Examples of a note that are shown. */
const SHOWN = 5;
/** A longer one is not a place. */
const LONGEST_PLACE = 48;

export function Notes({ problems }: { problems: readonly Problem[] }) {
  // What only commands can deal with is said by the result; sheets are chosen above.
  const notes = problems.filter(({ settings, sheets }) => !("folds" in settings) && !sheets);
  const count = messages.source.value === messages.own ? corrected.value.length : 0;
  if (notes.length + count === 0 && !values.value.dedupe) return null;
  return (
    <ul id="data-notes" class="notes" aria-label="What to know of this data">
      {notes.map((note) => (
        <Note key={note.code + note.text} text={describe(note)} ways={waysOut(note)} examples={note} />
      ))}
      {count > 0 && (
        <Note
          text={`${count === 1 ? "One row is" : `${formatCount(count)} rows are`} corrected or left out by you.`}
          ways={[
            { label: "Save as CSV", take: saveCorrections },
            { label: "Undo", take: () => setCorrected([]) },
          ]}
        />
      )}
      {values.value.dedupe && (
        <Note
          text="Near-duplicates of earlier rows are left out."
          ways={[{ label: "Keep them", take: () => set("dedupe", false) }]}
        />
      )}
    </ul>
  );
}

function Note(props: { text: string; ways: readonly Remedy[]; examples?: Pick<Problem, "examples" | "count"> }) {
  const { text, ways, examples: { examples, count } = { examples: [], count: 0 } } = props;
  const shown = examples.slice(0, SHOWN);
  const more = count > shown.length ? [`${formatCount(count - shown.length)} more`] : [];
  const arePlaces = shown.every(({ length }) => length <= LONGEST_PLACE);
  return (
    <li>
      <span>
        <span dir="auto">{text}</span>
        {arePlaces && shown.length > 0 && <small> {[...shown, ...more].join(", ")}</small>}
      </span>
      {ways.map(({ label, take }) => (
        <button key={label} type="button" onClick={take}>
          {label}
        </button>
      ))}
      {!arePlaces && (
        <details>
          <summary>Show {formatCount(count)}</summary>
          <ul>
            {[...shown, ...more].map((way) => (
              <li key={way} dir="auto">
                {way}
              </li>
            ))}
          </ul>
        </details>
      )}
    </li>
  );
}

/** The finding, and how it is read where that was open. */
function describe({ code, text, settings }: Problem): string {
  const { encoding } = settings;
  if (encoding !== undefined)
    return `This file is not UTF-8. It is read as ${ENCODINGS[String(encoding)] ?? encoding}.`;
  if (["column-not-recognized", "ambiguous-column"].includes(code))
    return "Which columns are text and label is a guess here. Look at the headings, and change what is wrong.";
  const leftOut = settings.skipFaulty === true ? " Left out." : "";
  return sentence(inPageWords(text)) + leftOut;
}

function waysOut({ code, settings, isNeeded, surplus }: Problem): Remedy[] {
  const { objective, encoding, maxLength, dedupe, labelSeparator } = settings;
  if (surplus) {
    const isOwn = messages.source.value === messages.own && !!report.value?.labels.length;
    const label = code === "conflicting-labels" ? "Keep the first of each" : "Leave them out";
    const take = () => correct(surplus.map((row) => ({ ...row, label: DROP })));
    // Only a file of the visitor's is corrected.
    return isOwn ? [{ label, take }] : [];
  }
  if (encoding !== undefined) return [{ label: "Another encoding", take: () => goTo("encoding") }];
  if (objective !== undefined && isNeeded)
    return [{ label: "Read them as classes", take: () => readAs({ objective: DEFAULT_OBJECTIVE }) }];
  if (objective !== undefined) {
    const reading = { objective: objective as Objective };
    const take = () =>
      readAs(labelSeparator === undefined ? reading : { ...reading, labelSeparator: String(labelSeparator) });
    return [{ label: `Read them as ${WORDS[reading.objective].choice}`, take }];
  }
  if (dedupe !== undefined) return [{ label: "Leave the copies out", take: () => set("dedupe", true) }];
  if (maxLength !== undefined)
    return [
      { label: `Read up to ${formatCount(maxLength as number)} tokens`, take: () => set("maxLength", maxLength) },
    ];
  return [];
}
