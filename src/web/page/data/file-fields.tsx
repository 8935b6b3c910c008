/** The files of the data card, and their encoding. */
import { useEffect } from "preact/hooks";
import { HubField, Select } from "../shared/controls.tsx";
import { usePart } from "../shared/scroll.ts";
import { askHub, type Choice, readAs, readWith, takeFiles } from "./data.ts";
import { isOver } from "./drops.ts";

/** The visitor's files, which can also be dropped. */
export function FileField(props: {
  id: string;
  label: string;
  help: string;
  accept: string;
  multiple?: boolean;
  choice: Choice;
}) {
  const { id, label, help, accept, multiple, choice } = props;
  const field = usePart<HTMLInputElement>("data", "nearest");
  const files = choice.files.value;
  // The browser's own words in the field name the files that were dropped, or kept since the last visit, too.
  useEffect(() => {
    const all = new DataTransfer();
    for (const file of files) all.items.add(file);
    field.current!.files = all.files;
  }, [files]);
  return (
    <div class={isOver.value ? "drop over" : "drop"}>
      <label for={id}>{label}</label>
      <input
        {...{ id, type: "file", accept, multiple }}
        ref={field}
        aria-describedby={`${id}-help`}
        onChange={({ currentTarget }) => takeFiles([...(currentTarget.files ?? [])])}
      />
      <p id={`${id}-help`} class="help">
        {help}
      </p>
      <p id={`${id}-name`} class="help">
        {files.length > 0 && `Selected: ${files.map(({ name }) => name).join(", ")}`}
      </p>
    </div>
  );
}

export const ENCODINGS: Readonly<Record<string, string>> = {
  "utf-8": "UTF-8 or UTF-16",
  "utf-16le": "UTF-16, little-endian",
  "utf-16be": "UTF-16, big-endian",
  "windows-1252": "Windows-1252 (Western)",
  "windows-1250": "Windows-1250 (Central Europe)",
  "windows-1251": "Windows-1251 (Cyrillic)",
  shift_jis: "Shift_JIS (Japanese)",
  gb18030: "GB 18030 (Chinese)",
};

export function EncodingField({ id, label }: { id: string; label: string }) {
  const field = usePart<HTMLSelectElement>("encoding", "nearest");
  return (
    <details>
      <summary>Encoding</summary>
      <label for={id} class="hidden">
        {label}
      </label>
      <Select
        {...{ id, field, value: readWith("encoding") ?? "utf-8", options: Object.entries(ENCODINGS) }}
        take={(encoding) => readAs({ encoding })}
      />
    </details>
  );
}

/** A data set of the Hugging Face Hub, by its name. */
export function DatasetField({ id, label, choice }: { id: string; label: string; choice: Choice }) {
  const field = usePart<HTMLInputElement>("data", "nearest");
  return (
    <HubField
      {...{ id, field, label, list: "datasets", name: choice.hubName }}
      placeholder="owner/name or owner/name:configuration"
      take={(name) => askHub(choice, name)}
    />
  );
}
