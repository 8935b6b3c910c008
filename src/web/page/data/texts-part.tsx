/** The texts that a model learns from: bundled, pasted, from files or from the Hugging Face Hub. */

import { TEXT_ENDINGS } from "../../../data/table/dialect.ts";
import { bound, Choices } from "../shared/controls.tsx";
import { usePart } from "../shared/scroll.ts";
import { pasted, texts } from "./data.ts";
import { DatasetField, EncodingField, FileField } from "./file-fields.tsx";

const SOURCES = { "human-rights": "Human rights", paste: "Own text", files: "Own files", hub: "Hugging Face" };

const FILES_HELP =
  'or drop them here. A text file is one document; in JSON lines each line is one, {"text": "…"}, or {"prompt": "…", "completion": "…"}, of which the completion is learned, or {"messages": […]}, a chat, of which the answers are.';

export function Texts() {
  const field = usePart<HTMLTextAreaElement>("data", "nearest");
  const { source } = texts;
  return (
    <div id="texts">
      <Choices name="texts" kind="choice" options={SOURCES} chosen={source} />
      {source.value === "human-rights" && (
        <p id="text-about" class="help">
          The Universal Declaration of Human Rights: a short text with a style that is easy to recognize.
        </p>
      )}
      {source.value === "paste" && (
        <div id="paste">
          <label for="pasted">Text to learn from</label>
          <textarea
            id="pasted"
            ref={field}
            dir="auto"
            rows={8}
            placeholder="Paste or type a text: a page is a start, ten are better"
            {...bound(pasted)}
          />
        </div>
      )}
      {source.value === "files" && (
        <div class="own">
          <FileField
            {...{ id: "text-files", help: FILES_HELP, accept: TEXT_ENDINGS.join(), choice: texts }}
            label="Choose text files or JSON lines"
            multiple
          />
          <EncodingField id="text-encoding" label="Encoding of the texts" />
        </div>
      )}
      {source.value === "hub" && <DatasetField id="texts" label="Data set" choice={texts} />}
    </div>
  );
}
