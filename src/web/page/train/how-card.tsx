/** "How it works": LoRA explained by this run's settings, with a figure of W + (alpha / r) B A to scale. */
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { ModelConfig } from "../../../core/config.ts";
import { formatCompact, formatCount, formatShare } from "../../../core/format.ts";
import { METHODS } from "../../../methods/index.ts";
import { loraScale } from "../../../methods/lora.ts";
import { GUIDES } from "../../../methods/training.ts";
import type { RunEstimate } from "../../protocol.ts";
import type { Values } from "./field-list.ts";
import { set, values } from "./fields.ts";
import { model } from "./model.ts";
import { estimate } from "./setup.ts";

/** Side of the square of W, and of the square of all parameters. */
const SIDE = 128;
/** The local-storage key of whether the visitor has the text open. */
const OPEN = "lowrank-how";

const PARAGRAPHS = [
  "A language model is a stack of large matrices W. Fine-tuning all of them takes memory for each parameter, its gradient and the optimizer, and leaves a copy of the whole model for every task.",
  "LoRA (low-rank adaptation) freezes W and adds the product of two thin matrices: W + (α/r) B A. Only A and B are trained. The rank r says how thin they are.",
  "B starts at zero, so that training begins with the model as it is. At each step the model guesses a batch of examples, the loss says how wrong it was, and A and B move a little in the direction that lowers it.",
  "What was learned is one small file, the adapter. Added to W it costs nothing when the model is used; left out, the old model is back. Many adapters can share one model.",
];

export function HowCard() {
  const isOpen = useSignal(localStorage.getItem(OPEN) === "true");
  const { about } = GUIDES[values.value.mode];
  return (
    <section id="how" class="card" aria-labelledby="how-title">
      <details
        open={isOpen.value}
        onToggle={({ currentTarget: { open } }) => {
          isOpen.value = open;
          localStorage.setItem(OPEN, String(open));
        }}
      >
        <summary>
          <h2 id="how-title">How it works</h2>
        </summary>
        <div id="how-body">
          <LoraFigure />
          <div class="story">
            {about && <p>{about}</p>}
            {PARAGRAPHS.map((text) => (
              <p key={text}>{text}</p>
            ))}
          </div>
        </div>
      </details>
    </section>
  );
}

function LoraFigure() {
  const { mode, rank } = values.value;
  // While the next estimate is made, the last one is shown.
  const share = useRef<ShareProps | null>(null);
  const config = model.value?.config;
  if (estimate.value && config)
    share.current = { ...estimate.value, config, isAll: METHODS[mode].freezesNothing === true };
  if (!config) return null;
  return (
    <figure class="lora">
      <div hidden={mode !== "lora"}>
        <Equation {...values.value} width={config.n_embd} />
        <div class="rank">
          <label for="how-rank">Rank: {rank}</label>
          <input
            id="how-rank"
            type="range"
            min={0}
            max={6}
            step={1}
            value={Math.round(Math.log2(Math.max(1, rank)))}
            aria-valuetext={`rank ${rank}`}
            onInput={(event) => set("rank", 2 ** event.currentTarget.valueAsNumber)}
          />
        </div>
      </div>
      <div class="share">{share.current && <Share {...share.current} />}</div>
    </figure>
  );
}

/** W (width x width), B (width x r) and A (r x width), all to the same scale. */
function Equation({ width, alpha, rank, scaling }: Pick<Values, "alpha" | "rank" | "scaling"> & { width: number }) {
  const scale = loraScale({ lora_alpha: alpha, r: rank, scaling });
  const thin = Math.max(0.75, (SIDE * rank) / width);
  return (
    <div class="equation">
      <Matrix name="W" size={`${width} × ${width}, frozen`} width={SIDE} height={SIDE} kind="frozen" />
      <span class="sign">{`+ ${Number(scale.toPrecision(3))} ×`}</span>
      <Matrix name="B" size={`${width} × ${rank}`} width={thin} height={SIDE} kind="trained" />
      <span class="sign">×</span>
      <Matrix name="A" size={`${rank} × ${width}`} width={SIDE} height={thin} kind="trained" />
    </div>
  );
}

interface MatrixProps {
  name: string;
  size: string;
  /** What is drawn is, for those who do not see it; without: its name and size. */
  label?: string;
  width: number;
  height: number;
  kind: "frozen" | "trained";
  /** Heights at which it is divided. */
  edges?: readonly number[];
}

/** A rectangle to scale, with its name and size below. */
function Matrix({ name, size, label = `${name}, ${size}`, width, height, kind, edges = [] }: MatrixProps) {
  return (
    <div class="matrix">
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label}>
        <rect class={kind} width={width} height={height} />
        {edges.map((y) => (
          <line key={y} class="edge" x1={0} x2={width} y1={y} y2={y} />
        ))}
      </svg>
      <span class="name">
        <b>{name}</b>
        <small>{size}</small>
      </span>
    </div>
  );
}

type ShareProps = RunEstimate & { config: ModelConfig; isAll: boolean };

/** All parameters as a square, and the trained ones next to it, to the same scale. */
function Share({ trainable, values, config, isAll }: ShareProps) {
  const { n_embd, n_layer, vocab_size, n_positions, rope } = config;
  const share = trainable / values;
  // The lowest stripes are the blocks, the rest are the tables; rotary positions have none.
  const tables = ((vocab_size + (rope ? 0 : n_positions)) * n_embd) / values;
  const edges = Array.from({ length: n_layer }, (_, i) => SIDE * (tables + ((1 - tables) * i) / n_layer));
  const side = SIDE * Math.sqrt(share);
  return (
    <>
      <Matrix
        name="All"
        size={`${formatCompact(values)} parameters`}
        label={`${formatCount(trainable)} of ${formatCompact(values)} parameters are trained`}
        width={SIDE}
        height={SIDE}
        kind={isAll ? "trained" : "frozen"}
        edges={edges}
      />
      {!isAll && (
        <Matrix
          name="Trained"
          size={formatCount(trainable)}
          label="the trained parameters"
          width={side}
          height={side}
          kind="trained"
        />
      )}
      <p class="help">
        {formatShare(share)} of the parameters are trained. Areas are to scale; the stripes are the {n_layer} blocks,
        above them {rope ? "is the table of tokens" : "are the tables of tokens and positions"}.
      </p>
    </>
  );
}
