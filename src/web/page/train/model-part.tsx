/** The choice of the base model: bundled, stored in this browser, from a folder, or from the Hugging Face Hub. */

import { architectureName } from "../../../core/config.ts";
import { formatCompact } from "../../../core/format.ts";
import { DEFAULT_BASE } from "../../../io/hf.ts";
import { describeMethod } from "../../../methods/training.ts";
import { formatBytes } from "../../../plan/memory.ts";
import { dataName } from "../../../record/record.ts";
import { isOver } from "../data/drops.ts";
import { FileButton, HubField, Label, Select } from "../shared/controls.tsx";
import { ErrorPlace } from "../shared/error.tsx";
import { goTo, usePart } from "../shared/scroll.ts";
import { when } from "../shared/words.ts";
import {
  adapter,
  adapters,
  addModel,
  BASES,
  BUNDLED,
  choose,
  chosenAdapter,
  FROM_FOLDER,
  FROM_HUB,
  findDownload,
  follows,
  forgetModel,
  hubName,
  listed,
  model,
  modelError,
  modelName,
  models,
  openModel,
} from "./model.ts";

const HELP =
  "The pretrained model that is fine-tuned. A small one is enough for any machine; larger ones learn more and take longer. Some are listed below.";

const isBundled = (wanted: string) => BASES.some(({ name, isBundled }) => name === wanted && isBundled);

export function ModelFields() {
  const field = usePart<HTMLSelectElement>("model", "nearest");
  const chosen = listed.value;
  const names = models.value.map(({ name }) => name);
  const download = findDownload(hubName.value);
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
              ...names.map((name) => [name, isBundled(name) ? `${name} (bundled)` : name] as const),
              ...BASES.filter(({ name }) => findDownload(name) && !names.includes(name)).map(
                ({ name, megabytes }) => [name, `${name} (${megabytes} MB from the Hugging Face Hub) …`] as const,
              ),
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
          Own messages begin with {DEFAULT_BASE}: it learns more from them, and takes longer. Its 30 MB are kept for use
          without a network. <ModelLink name={BUNDLED} text={`Use ${BUNDLED}`} />
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
          {download && `${download.megabytes} MB, which this browser keeps for use without a network.`}
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
            It needs config.json and model.safetensors in Hugging Face's format, or a GGUF file.
          </p>
        </div>
      )}
      <ErrorPlace id="model-error" report={modelError.value} />
      <ModelReport />
      <Bases />
      <div class={isOver.value ? "drop over" : "drop"}>
        <p class="help">Or drop a GGUF file here: a GPT-2, Llama, Qwen2 or GPT-NeoX. It stays in this browser.</p>
        <FileButton id="gguf" label="Choose a GGUF file" accept=".gguf" take={addModel} />
      </div>
    </>
  );
}

/** Chooses a model, and goes to the list: the button may be gone afterwards. */
export function ModelLink({ name, text = name }: { name: string; text?: string }) {
  return (
    <button
      type="button"
      class="link"
      onClick={() => {
        choose(name);
        goTo("model");
      }}
    >
      {text}
    </button>
  );
}

/** The use of the named models. */
function Bases() {
  return (
    <details id="bases">
      <summary>Models to begin with</summary>
      <ul class="help">
        {BASES.map(({ name, megabytes, licence, use }) => (
          <li key={name}>
            <ModelLink name={name} />: {use} ({megabytes} MB, {licence})
          </li>
        ))}
      </ul>
    </details>
  );
}

/** The model, its size, and its shape for those who ask. */
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
