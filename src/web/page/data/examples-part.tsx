/** Examples that are typed or pasted, one text field a class. */

import { goTo, usePart } from "../shared/scroll.ts";
import { addClass, changeClass, classes, examplesHelp, removeClass } from "./examples.ts";

export function Examples() {
  const add = usePart<HTMLButtonElement>("add-class", "nearest");
  return (
    <div id="examples">
      <div class="classes">
        {classes.value.map((one, i) => (
          <ClassField key={i} i={i} {...one} isSpare={classes.value.length > 2} />
        ))}
      </div>
      <div class="row">
        <button
          id="add-class"
          ref={add}
          type="button"
          onClick={() => {
            addClass();
            goTo(`class-${classes.value.length - 1}`);
          }}
        >
          Add a class
        </button>
      </div>
      <p class="help" role="status">
        {examplesHelp.value}
      </p>
    </div>
  );
}

function ClassField({ i, name, text, isSpare }: { i: number; name: string; text: string; isSpare: boolean }) {
  const field = usePart<HTMLInputElement>(`class-${i}`, "nearest");
  return (
    <div class="class">
      <label for={`class-${i}`}>Class {i + 1}</label>
      <div class="row">
        <input
          id={`class-${i}`}
          ref={field}
          type="text"
          maxLength={60}
          value={name}
          onInput={({ currentTarget }) => changeClass(i, { name: currentTarget.value })}
        />
        {isSpare && (
          <button
            type="button"
            aria-label={`Remove the class ${name}`}
            onClick={() => {
              removeClass(i);
              goTo("add-class");
            }}
          >
            Remove
          </button>
        )}
      </div>
      <textarea
        id={`class-${i}-text`}
        rows={4}
        placeholder="One example per line"
        aria-label={`Examples of ${name}`}
        value={text}
        onInput={({ currentTarget }) => changeClass(i, { text: currentTarget.value })}
      />
    </div>
  );
}
