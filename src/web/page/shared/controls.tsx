/** Form fields: each with its label, an explanation behind a "?", a word on units, and what is wrong with its value. */

import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren, Ref } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { NumberRange } from "../../../core/checks.ts";

/** The attributes of a field whose text a signal holds. */
export const bound = <T extends string>(text: Signal<T>) => ({
  value: text.value,
  onInput: ({ currentTarget }: { currentTarget: { value: string } }) => {
    text.value = currentTarget.value as T;
  },
});

/** A list, of which one is chosen. */
export function Select(props: {
  id: string;
  value: string | number;
  take: (value: string) => void;
  options: readonly (readonly [value: string | number, name: string])[];
  field?: Ref<HTMLSelectElement>;
  help?: string;
}) {
  const { id, value, take, options, field = null, help } = props;
  return (
    <select
      {...{ id, value, ref: field, "aria-describedby": help }}
      onInput={({ currentTarget }) => take(currentTarget.value)}
    >
      {options.map(([value, name]) => (
        <option key={value} value={value}>
          {name}
        </option>
      ))}
    </select>
  );
}

/** A tick of its own in a line. */
export function Tick({ id, text, on }: { id?: string; text: string; on: { value: boolean } }) {
  const tick = ({ currentTarget }: { currentTarget: { checked: boolean } }) => {
    on.value = currentTarget.checked;
  };
  return (
    <label class="line">
      <input {...{ id, type: "checkbox" }} checked={on.value} onInput={tick} />
      {text}
    </label>
  );
}

export function FileButton(props: {
  id: string;
  label: string;
  accept: string;
  multiple?: boolean;
  take: (files: File[]) => void;
}) {
  const { id, label, accept, multiple, take } = props;
  return (
    <>
      <label class="button" for={id}>
        {label}
      </label>
      <input
        {...{ id, class: "hidden-input", type: "file", accept, multiple }}
        onChange={({ currentTarget }) => {
          take([...(currentTarget.files ?? [])]);
          currentTarget.value = "";
        }}
      />
    </>
  );
}

/** A label, and a "?" that toggles an explanation below it. `id`: the field that it labels; none: a group of fields. */
export function Label({ id, label, why }: { id?: string; label: string; why?: string | undefined }) {
  const isOpen = useSignal(false);
  const name = id === undefined ? <span>{label}</span> : <label for={id}>{label}</label>;
  if (why === undefined) return name;
  const toggle = () => {
    isOpen.value = !isOpen.value;
  };
  return (
    <div class="label">
      {name}
      <button
        id={id && `${id}-why`}
        type="button"
        class="ask"
        aria-expanded={isOpen.value}
        aria-label={`What is ${label}?`}
        onClick={toggle}
      >
        ?
      </button>
      <p class="why" hidden={!isOpen.value}>
        {why}
      </p>
    </div>
  );
}

/** A field of a text. That of a number is one, too: of "0,001" a browser's own field of numbers leaves 0001. */
export function TextField(props: {
  id: string;
  label: string;
  /** The help of the setting, behind a "?". */
  why?: string | undefined;
  /** A few words below the field: a unit, or what a special value means. */
  help?: string | undefined;
  text: string;
  change: (text: string) => void;
  field?: Ref<HTMLInputElement>;
  /** That of a number. */
  range?: NumberRange | undefined;
  /** The fault of the text; false: none. */
  wrong: string | false;
}) {
  const { id, label, why, help, text, change, field = null, range, wrong } = props;
  const typed = useRef("");
  // What the page puts under a caret, as defaults follow the data, is selected: typing replaces it.
  useLayoutEffect(() => {
    const focused = document.activeElement;
    if (focused?.id === id && text !== typed.current) (focused as HTMLInputElement).select();
  }, [text]);
  // A keypad of decimals may have no point.
  const inputMode = range?.whole ? "numeric" : "text";
  return (
    <div class="field">
      <Label id={id} label={label} why={why} />
      <input
        id={id}
        ref={field}
        {...{ type: "text", inputMode, required: range !== undefined, value: text }}
        aria-invalid={wrong !== false}
        aria-describedby={help === undefined ? `${id}-error` : `${id}-help ${id}-error`}
        onInput={({ currentTarget }) => {
          typed.current = currentTarget.value;
          change(currentTarget.value);
        }}
      />
      {help !== undefined && (
        <p id={`${id}-help`} class="help">
          {help}
        </p>
      )}
      <p id={`${id}-error`} class="wrong">
        {wrong}
      </p>
    </div>
  );
}

/** The name of a data set or a model of the hub; `take` receives it when the button is pressed, or Enter. */
export function HubField(props: {
  id: string;
  label: string;
  placeholder: string;
  list?: string;
  name: Signal<string>;
  take: (name: string) => void;
  field?: Ref<HTMLInputElement>;
  /** A help line below it. */
  children?: ComponentChildren;
}) {
  const { id, label, placeholder, list, name, field = null, children } = props;
  const take = () => props.take(name.value.trim());
  return (
    <div class="row named">
      <label for={`${id}-name`} class="grow">
        {label}
        <input
          id={`${id}-name`}
          ref={field}
          type="text"
          placeholder={placeholder}
          spellcheck={false}
          list={list}
          {...bound(name)}
          onKeyDown={({ key }) => key === "Enter" && take()}
        />
      </label>
      <button id={`${id}-open`} type="button" onClick={take}>
        Download
      </button>
      {children && <p class="help">{children}</p>}
    </div>
  );
}

/** Radio buttons of which one is chosen. `label`: that of the group; none: that of the card. */
export function Choices<T extends string>(props: {
  name: string;
  kind: "tabs" | "choice";
  label?: string;
  options: Readonly<Partial<Record<T, string>>>;
  chosen: { value: T };
}) {
  const { name, kind, label, options, chosen } = props;
  const title = label === undefined ? { "aria-labelledby": "data-title" } : { "aria-label": label };
  return (
    <div class={kind} role="radiogroup" {...title}>
      {(Object.keys(options) as T[]).map((value) => (
        <label key={value}>
          <input
            {...{ type: "radio" as const, name, value, checked: value === chosen.value }}
            onInput={() => {
              chosen.value = value;
            }}
          />
          {options[value]}
        </label>
      ))}
    </div>
  );
}

/** The number of a step of the way, with a tick when it is done. */
export function Step({ number, done }: { number: number; done: boolean }) {
  return <span class={done ? "step done" : "step"}>{done ? <span aria-hidden="true">✓</span> : number}</span>;
}
