/** The choice of the base model: bundled, stored in this browser, from a folder, or from the Hugging Face Hub. */

import { architectureName } from "../../../config.ts";
import { formatCompact } from "../../../format.ts";
import { describeMethod } from "../../../methods/training.ts";
import { formatBytes } from "../../../plan/memory.ts";
import { dataName } from "../../../run/record.ts";
import { DEFAULT_BASE } from "../../../run/settings.ts";
import { HubField, Label, Select } from "../shared/controls.tsx";
import { ErrorPlace } from "../shared/error.tsx";
import { goTo, usePart } from "../shared/scroll.ts";
import { when } from "../shared/words.ts";
import {
  adapter,
  adapters,
  addModel,
  BUNDLED,
  choose,
  chosenAdapter,
  FROM_FOLDER,
  FROM_HUB,
  follows,
  forgetModel,
  hubName,
  listed,
  model,
  modelError,
  modelName,
  models,
  OF_HUB,
  openModel,
} from "./model.ts";

const HELP =
  "The pretrained model that is fine-tuned. gpt2-micro is small enough for any machine; larger ones learn more and take longer, such as smollm2-cut, smollm2-135m (a Llama that follows instructions) and gpt2, with 35, 135 and 124 million parameters.";

/** What the list says behind the names of the bundled models. */
const BUNDLED_NOTES: Readonly<Record<string, string>> = {
  [BUNDLED]: " (bundled)",
  [DEFAULT_BASE]: " (bundled, 23 MB)",
};

export function ModelFields() {
  const field = usePart<HTMLSelectElement>("model", "nearest");
  const chosen = listed.value;
  const names = models.value.map(({ name }) => name);
  // One of the hub is not among them.
  if (modelName.value !== null && !names.includes(chosen)) names.push(chosen);
  return (
    <>
      <div class="row">
        <div class="grow">
          <Label id="model" label="Base model" why={HELP} />
          <Select
            id="model"
            field={field}
            value={chosen}
            take={choose}
            options={[
              ...names.map((name) => [name, `${name}${BUNDLED_NOTES[name] ?? ""}`] as const),
              ...Object.entries(OF_HUB)
                .filter(([name]) => !names.includes(name))
                .map(([name, size]) => [name, `${name} (${size} MB from the Hugging Face Hub) …`] as const),
              [FROM_FOLDER, "from a local folder …"],
              [FROM_HUB, "from the Hugging Face Hub …"],
            ]}
          />
        </div>
        {models.value.some(({ name, kept }) => kept && name === chosen) && (
          <button id="model-forget" type="button" onClick={forgetModel}>
            Delete
          </button>
        )}
      </div>
      {follows.value && chosen === DEFAULT_BASE && (
        <p id="model-default" class="help">
          Own messages begin with {DEFAULT_BASE}: it learns more from them, and takes longer. Its 23 MB are kept for use
          without a network.{" "}
          <button
            type="button"
            class="link"
            onClick={() => {
              choose(BUNDLED);
              // The button is gone afterwards.
              goTo("model");
            }}
          >
            Use {BUNDLED}
          </button>
        </p>
      )}
      {chosen === FROM_HUB && (
        <HubField
          id="hub"
          label="Hugging Face Hub model"
          placeholder="gpt2 or owner/name"
          name={hubName}
          take={openModel}
        >
          {OF_HUB[hubName.value] !== undefined &&
            `${OF_HUB[hubName.value]} MB, which this browser keeps for use without a network.`}
        </HubField>
      )}
      {chosen === FROM_FOLDER && (
        <div class="drop">
          <label for="folder-files">Choose a model folder</label>
          <input
            id="folder-files"
            type="file"
            {...{ webkitdirectory: true, multiple: true }}
            aria-describedby="folder-help"
            onChange={({ currentTarget }) => addModel([...(currentTarget.files ?? [])])}
          />
          <p id="folder-help" class="help">
            It needs config.json and model.safetensors in Hugging Face's format, or a GGUF file, which can also be
            dropped here.
          </p>
        </div>
      )}
      <ErrorPlace id="model-error" report={modelError.value} />
      <ModelReport />
    </>
  );
}

/** What the model is, how large, and its shape for those who ask. */
function ModelReport() {
  if (!model.value) return <p id="model-report" class="help" />;
  const { config, values } = model.value;
  const { n_layer, n_head, n_kv_head = n_head, n_embd, n_positions } = config;
  const shared = n_kv_head < n_head ? ` that share ${n_kv_head} of keys and values` : "";
  return (
    <details id="model-report" class="help">
      <summary>
        {architectureName(config)}, {formatCompact(values)} parameters
      </summary>
      {n_layer} blocks, {n_head} heads{shared}, width {n_embd}, context {n_positions} tokens, {formatBytes(4 * values)}{" "}
      in float32.
    </details>
  );
}

/** The choice of the adapter that training starts from: a new one, or one of an earlier run or of a file. */
export function Beginning() {
  if (adapters.value.length === 0) return null;
  return (
    <div>
      <label for="beginning">
        Start from{" "}
        <Select
          id="beginning"
          help="beginning-help"
          value={adapter.value ?? ""}
          take={(id) => {
            chosenAdapter.value = id;
          }}
          options={[
            ["", "a new adapter"],
            ...adapters.value.map(({ id, record }) => {
              const name = `${describeMethod(record.options)}: ${dataName(record)}, ${when(record.created)}`;
              return [id, name] as const;
            }),
          ]}
        />
      </label>
      <p id="beginning-help" class="help">
        An existing adapter sets the rank, the target matrices and its other settings.
      </p>
    </div>
  );
}
