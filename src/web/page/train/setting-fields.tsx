/** A field for each setting. */
import { isLlama } from "../../../config.ts";
import { Label, Select, TextField } from "../shared/controls.tsx";
import { usePart } from "../shared/scroll.ts";
import { type Field, GATED_TARGET_NAMES, OFFERED_TARGETS, TARGET_NAMES, wantedIn } from "./field-list.ts";
import { enter, fieldState, isOffered, visible } from "./fields.ts";
import { model } from "./model.ts";

export function SettingFields({ id, fields }: { id: string; fields: readonly Field[] }) {
  return (
    <div id={id} class="fields">
      {fields
        .filter(({ key }) => visible.value.has(key))
        .map((field) => (
          <SettingField key={field.key} field={field} />
        ))}
    </div>
  );
}

function SettingField({ field }: { field: Field }) {
  const { key, label, help, why, kind, number, choices = [] } = field;
  const element = usePart<HTMLInputElement & HTMLSelectElement & HTMLFieldSetElement>(`field-${key}`, "nearest");
  const { shown, isInvalid } = fieldState(field);
  const id = `field-${key}`;
  const text = { id, label, why, help, field: element, text: String(shown) };
  const change = (text: string) => enter(field, text);
  switch (kind) {
    case "number":
    case "layers":
      return <TextField {...text} change={change} range={number} wrong={isInvalid && wantedIn(field)} />;
    case "choice":
      return (
        <div class={key === "mode" ? "field wide" : "field"}>
          <Label id={id} label={label} why={why} />
          <Select
            {...{ id, field: element, value: String(shown), take: change }}
            options={choices.filter(([value]) => isOffered(key, value))}
          />
        </div>
      );
    case "check":
      return (
        <div class="field check">
          <input
            id={id}
            ref={element}
            type="checkbox"
            checked={shown === true}
            onInput={({ currentTarget }) => enter(field, currentTarget.checked)}
          />
          <Label id={id} label={label} why={why} />
        </div>
      );
    case "targets": {
      const ticked = shown as readonly string[];
      const tick = (target: string, isTicked: boolean) =>
        enter(field, isTicked ? [...ticked, target] : ticked.filter((one) => one !== target));
      return (
        <fieldset class="field wide targets" id={id} ref={element}>
          <legend class="hidden">{label}</legend>
          <Label label={label} why={why} />
          {OFFERED_TARGETS.filter((target) => isOffered(key, target)).map((target) => (
            <label key={target}>
              <input
                type="checkbox"
                value={target}
                checked={ticked.includes(target)}
                onInput={({ currentTarget }) => tick(target, currentTarget.checked)}
              />
              {(model.value && isLlama(model.value.config) && GATED_TARGET_NAMES[target]) || TARGET_NAMES[target]}
            </label>
          ))}
          <p class="wrong">{isInvalid && wantedIn(field)}</p>
        </fieldset>
      );
    }
  }
}
