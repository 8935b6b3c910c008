/** What the selected run learned: how far each matrix moved, how its adapter uses the rank, and the scaled model. */

import { MODE_TITLES, type Mode } from "../../config.ts";
import type { Change, Changes } from "../../run/changes.ts";
import { hasAdapter, type PageRun } from "../protocol.ts";
import type { WorkerClient } from "./client.ts";
import { byId, h, scrollArea, svg, table } from "./dom.ts";
import { percent } from "./format.ts";
import { ScalePanel } from "./scale-panel.ts";

/** Shades of a cell: `heat1` to `heat8` of the style sheet. */
const SHADES = 8;

const NAMES: Record<string, string> = {
  wte: "the token table",
  wpe: "the position table",
  ln_f: "the final layer norm",
  lm_head: "the head",
  head: "the head",
};

export class LearnedPanel {
  private key = "";
  private readonly body = byId("learned-body");
  private readonly scale: ScalePanel;

  constructor(client: WorkerClient) {
    this.scale = new ScalePanel(client);
    this.body.addEventListener("click", chooseMatrix);
  }

  /** Shows a run that has ended. */
  use(run: PageRun | null): void {
    const changes = run && hasAdapter(run) && run.changes;
    const key = changes ? `${run.id} ${run.record.step}` : "";
    if (key === this.key) return;
    this.key = key;
    byId("learned").hidden = !changes;
    if (!changes) return;
    this.body.replaceChildren(heatMap(run, changes), ...spectra(changes), ...this.scale.of(run));
  }
}

/** A click on a cell of the heat map shows its singular values; the keyboard has the list. */
function chooseMatrix({ target }: Event): void {
  const chosen = (target as Element).closest<HTMLElement>("[data-matrix]")?.dataset.matrix;
  const list = document.getElementById("matrix") as HTMLSelectElement | null;
  if (chosen === undefined || !list) return;
  list.value = chosen;
  list.dispatchEvent(new Event("input"));
}

/** Of zeros, such as the biases of an untrained model, there is no share. */
const relative = ({ norm, of }: Change) => (of > 0 ? norm / of : 0);
const share = (value: number) => percent(value, value >= 0.0995 ? 0 : value >= 0.00995 ? 1 : 2);
const note = (text: string) => h("p", { class: "help" }, text);

function heatMap({ record: { options } }: PageRun, { kind, blocks, changes }: Changes): HTMLElement {
  const inside = changes.filter(({ block }) => block !== null);
  const outside = changes.filter(({ block }) => block === null);
  const { mode } = options;
  const title = h("h3", {}, kind === "bias" ? "Change of each bias" : "Change of each matrix");
  const rest = outside.map((one) => `${NAMES[one.part]} by ${share(relative(one))}`).join(", ");
  const alone = rest === "" ? null : note(`Outside the blocks, training moved ${rest} of its size.`);
  if (inside.length === 0)
    return h(
      "div",
      { class: "part" },
      title,
      note(`In ${MODE_TITLES[mode]} every matrix of the blocks stays as it was.`),
      alone,
    );
  const most = Math.max(...inside.map(relative));
  const parts = [...new Set(inside.map(({ part }) => part))];
  const cell = (block: number, part: string) => {
    const i = changes.findIndex((one) => one.block === block && one.part === part);
    const change = changes[i];
    if (!change) return h("span", { class: "heat" }, h("span", { class: "hidden" }, "frozen"));
    const shade = most > 0 ? Math.ceil((SHADES * relative(change)) / most) : 0;
    const title = `size of the change ${change.norm.toPrecision(3)}, size before ${change.of.toPrecision(3)}`;
    const matrix = change.adapter ? { "data-matrix": i } : {};
    return h("span", { class: `heat heat${shade}`, title, ...matrix }, share(relative(change)).replace(/\s%/, ""));
  };
  const rows = Array.from({ length: blocks }, (_, block) => [String(block), ...parts.map((part) => cell(block, part))]);
  const caption = "Size of the change in % of the size before: ‖ΔW‖ / ‖W‖, Frobenius norms";
  const isPartly = inside.length < blocks * parts.length;
  return h(
    "div",
    { class: "part" },
    title,
    note(`${about(mode, options.scaling)}${isPartly ? " Cells without a number stayed frozen." : ""}`),
    scrollArea("Changes by block", table(caption, ["Block", ...parts], rows), "heatmap tall"),
    legend(most),
    note("Of attention: q, k, v (queries, keys, values) and o (output). Of the MLP: fc and proj. ln: layer norms."),
    alone,
  );
}

function about(mode: Mode, scaling: string): string {
  const what =
    mode === "lora"
      ? `LoRA leaves each matrix W as it was and adds ΔW = s·B·A, s = ${scaling}.`
      : "ΔW is what training added to the pretrained values W.";
  return `${what} The stronger a cell's colour, the more the model had to change there.`;
}

function legend(most: number): HTMLElement {
  const shades = Array.from({ length: SHADES + 1 }, (_, i) => h("i", { class: `heat heat${i}` }));
  return h("p", { class: "scale", "aria-hidden": "true" }, "0\u00a0%", h("span", {}, shades), share(most));
}

/** The singular values of one matrix, which is chosen from a list. */
function spectra({ changes }: Changes): HTMLElement[] {
  const adapted = changes.map((change, i) => ({ ...change, i })).filter(({ adapter }) => adapter?.spectrum);
  if (adapted.length === 0) return [];
  const [first] = adapted.toSorted(
    (a, b) => Number(a.block === null) - Number(b.block === null) || relative(b) - relative(a),
  );
  const place = h("div", { class: "part", "aria-live": "polite" });
  const list = h(
    "select",
    { id: "matrix" },
    adapted.map(({ block, part, i }) =>
      h("option", { value: i, selected: i === first!.i }, block === null ? NAMES[part]! : `Block ${block}, ${part}`),
    ),
  );
  const show = () => place.replaceChildren(...spectrum(changes[Number(list.value)]!));
  list.addEventListener("input", show);
  show();
  return [
    h(
      "div",
      { class: "part" },
      h("h3", {}, "How much of the rank is used"),
      note(
        "A change of rank r is a sum of r directions; a singular value of ΔW = s·B·A is how strongly one of them counts. Where a few are large and the others small, a smaller rank would have learned nearly the same.",
      ),
      h("label", { for: "matrix" }, "Matrix"),
      list,
      place,
    ),
  ];
}

function spectrum({ adapter }: Change): Node[] {
  const { values, used, share: held } = adapter!.spectrum!;
  const rank = values.length;
  const most = Math.max(...values) || 1;
  const listed = values.map((value) => value.toPrecision(3)).join(", ");
  const bars = values.map((value, i) =>
    svg(
      "rect",
      { class: i < used ? "used" : "", x: i + 0.1, width: 0.8, y: 1 - value / most, height: value / most },
      svg("title", {}, document.createTextNode(`${i + 1}: ${value.toPrecision(3)}`)),
    ),
  );
  return [
    svg(
      "svg",
      {
        class: "singular",
        viewBox: `0 0 ${rank} 1`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `Singular values, the largest first: ${listed}`,
      },
      ...bars,
    ) as unknown as HTMLElement,
    h(
      "p",
      {},
      h("strong", {}, `Uses ${used} of rank ${rank}: `),
      `${used === 1 ? "one singular value holds" : `${used} singular values hold`} ${percent(held, 0)} of the sum of the squares of all.`,
    ),
  ];
}
