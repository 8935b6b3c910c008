/** "How it works": LoRA explained by this run's settings, with a figure of W + (alpha / r) B A to scale. */
import type { GPT2Config, Mode } from "../../config.ts";
import { showShare } from "../../format.ts";
import type { RunEstimate } from "../protocol.ts";
import { byId, h, setText, svg } from "./dom.ts";
import type { Values } from "./field-help.ts";
import { compact, count } from "./format.ts";

/** What the figure shows. */
interface Shown {
  values: Pick<Values, "mode" | "rank" | "alpha" | "scaling" | "targets" | "layers">;
  model: GPT2Config | null;
  /** Null while the settings are invalid. */
  estimate: RunEstimate | null;
}

/** Side of the square of W, and of the square of all parameters. */
const SIDE = 128;

const METHODS: Readonly<Record<Exclude<Mode, "lora">, string>> = {
  all: "Full fine-tuning changes every parameter: the whole square. It needs the most memory, and its result is as large as the model.",
  last_block: "Only the last block and the head are trained. The blocks below stay as they are and are computed once.",
  last_layer: "Only the classification head is trained, on what the frozen model makes of a text.",
  bitfit: "Only the biases and the head are trained: the numbers that are added after each matrix product.",
  adapter:
    "Two small layers are added to each block and trained. They stay in the model and cost a little time at each use.",
  prompt: "Trained vectors stand before each text, as if they were words. The model stays as it is.",
  prefix: "Trained keys and values stand before each text in every block's attention. The model stays as it is.",
};

const PARAGRAPHS = [
  "A language model is a stack of large matrices W. Fine-tuning all of them takes memory for each parameter, its gradient and the optimizer, and leaves a copy of the whole model for every task.",
  "LoRA (low-rank adaptation) freezes W and adds the product of two thin matrices: W + (α/r) B A. Only A and B are trained. The rank r says how thin they are.",
  "B starts at zero, so that training begins with the model as it is. At each step the model guesses a batch of examples, the loss says how wrong it was, and A and B move a little in the direction that lowers it.",
  "What was learned is one small file, the adapter. Added to W it costs nothing when the model is used; left out, the old model is back. Many adapters can share one model.",
];

export class HowPanel {
  private readonly equation = h("div", { class: "equation" });
  private readonly share = h("div", { class: "share" });
  private readonly method = h("p", {});
  private readonly rankLabel = h("label", { for: "how-rank" });
  private readonly rank = h("input", { id: "how-rank", type: "range", min: 0, max: 6, step: 1 });

  /** `setRank` sets the rank among the settings. */
  constructor(setRank: (rank: number) => void) {
    this.rank.addEventListener("input", () => setRank(2 ** this.rank.valueAsNumber));
    const rank = h("div", { class: "rank" }, this.rankLabel, this.rank);
    const figure = h("figure", { class: "lora" }, h("div", {}, this.equation, rank), this.share);
    const text = h(
      "div",
      { class: "story" },
      this.method,
      PARAGRAPHS.map((paragraph) => h("p", {}, paragraph)),
    );
    byId("how-body").append(figure, text);
    const wide = byId("how-wide");
    wide.hidden = !document.fullscreenEnabled;
    const section = byId("how");
    wide.addEventListener("click", () => {
      void (document.fullscreenElement ? document.exitFullscreen() : section.requestFullscreen());
    });
    document.addEventListener("fullscreenchange", () =>
      setText(wide, document.fullscreenElement ? "Leave full screen" : "Full screen"),
    );
  }

  show({ values, model, estimate }: Shown): void {
    if (!model || !Number.isFinite(values.rank)) return;
    const isLora = values.mode === "lora";
    this.equation.parentElement!.hidden = !isLora;
    this.rank.value = String(Math.round(Math.log2(Math.max(1, values.rank))));
    setText(this.rankLabel, `Rank: ${values.rank}`);
    this.rank.setAttribute("aria-valuetext", `rank ${values.rank}`);
    setText(this.method, values.mode === "lora" ? "" : METHODS[values.mode]);
    this.method.hidden = isLora;
    if (isLora) this.equation.replaceChildren(...equation(values, model));
    if (estimate) this.share.replaceChildren(...trainedShare(estimate, model, values.mode));
  }
}

/** The factor of B A. */
function adapterScale({ alpha, rank, scaling }: Shown["values"]): number {
  return scaling === "alpha" ? alpha : scaling === "alpha/sqrt(r)" ? alpha / Math.sqrt(rank) : alpha / rank;
}

/** W (width x width), B (width x r) and A (r x width), all to the same scale. */
function equation(values: Shown["values"], { n_embd: width }: GPT2Config): HTMLElement[] {
  const { rank } = values;
  const thin = Math.max(0.75, (SIDE * rank) / width);
  const factor = Number(adapterScale(values).toPrecision(3));
  const part = (name: string, shape: string, w: number, h: number, kind: string) =>
    box(w, h, kind, `${name}, ${shape}`, [name, shape]);
  return [
    part("W", `${width} × ${width}, frozen`, SIDE, SIDE, "frozen"),
    sign(`+ ${factor} ×`),
    part("B", `${width} × ${rank}`, thin, SIDE, "trained"),
    sign("×"),
    part("A", `${rank} × ${width}`, SIDE, thin, "trained"),
  ];
}

const sign = (text: string) => h("span", { class: "sign" }, text);

/** A rectangle to scale, with its name and size below. */
function box(width: number, height: number, kind: string, label: string, lines: readonly string[]): HTMLElement {
  const picture = svg(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("rect", { class: kind, width, height }),
  );
  const [name, ...more] = lines;
  return h(
    "div",
    { class: "matrix" },
    picture as unknown as HTMLElement,
    h("span", { class: "name" }, h("b", {}, name), ...more.map((line) => h("small", {}, line))),
  );
}

/** All parameters as a square, and the trained ones beside it to the same scale. */
function trainedShare({ trainable, values }: RunEstimate, model: GPT2Config, mode: Mode): HTMLElement[] {
  const side = SIDE * Math.sqrt(trainable / values);
  const isAll = mode === "all";
  const { n_embd, n_layer, vocab_size, n_positions } = model;
  const tables = ((vocab_size + n_positions) * n_embd) / values;
  const label = `${count(trainable)} of ${compact(values)} parameters are trained`;
  const all = svg(
    "svg",
    { width: SIDE, height: SIDE, viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", "aria-label": label },
    svg("rect", { class: isAll ? "trained" : "frozen", width: SIDE, height: SIDE }),
    // The lowest stripes are the blocks, the rest is the table of tokens and positions.
    ...Array.from({ length: n_layer }, (_, i) => {
      const y = SIDE * (tables + ((1 - tables) * i) / n_layer);
      return svg("line", { class: "edge", x1: 0, x2: SIDE, y1: y, y2: y });
    }),
  );
  return [
    h(
      "div",
      { class: "matrix" },
      all as unknown as HTMLElement,
      h("span", { class: "name" }, h("b", {}, "All"), h("small", {}, `${compact(values)} parameters`)),
    ),
    ...(isAll ? [] : [box(side, side, "trained", "the trained parameters", ["Trained", `${count(trainable)}`])]),
    h(
      "p",
      { class: "help" },
      `${showShare(trainable / values)} of the parameters are trained. Areas are to scale; the stripes are the ${n_layer} blocks, above them are the tables of tokens and positions.`,
    ),
  ];
}
