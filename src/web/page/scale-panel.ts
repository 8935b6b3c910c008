/** Everything that a run learned, scaled from 0 to 2, and the accuracy on the test set. */
import type { PageRun } from "../protocol.ts";
import { failureReport, type WorkerClient } from "./client.ts";
import { h, setText, svg } from "./dom.ts";
import { count, percent } from "./format.ts";
import { showError } from "./notice.ts";

/** Milliseconds without movement before a value is measured. */
const PAUSE = 250;
const MOST = 2;

/** The drawing's size, and the space around its plot. */
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [320, 130, 44, 20, 8];

export class ScalePanel {
  private run: PageRun | null = null;
  private timer = 0;
  /** Accuracies by run, which has other parameters once it has gone on, and by factor. */
  private readonly measured = new Map<string, Map<number, number>>();
  private readonly slider = h("input", { id: "scale", type: "range", min: 0, max: MOST, step: 0.1 });
  private readonly answer = h("output", { for: "scale" });
  private readonly curve = h("figure", { class: "curve" });
  private readonly error = h("div", { role: "alert" });

  constructor(private readonly client: WorkerClient) {
    this.slider.addEventListener("input", () => this.moved());
  }

  /** The elements for a run; none if it was not measured on its test set. */
  of(run: PageRun): HTMLElement[] {
    this.run = run;
    clearTimeout(this.timer);
    const { results, objective } = run.record;
    if (!results || objective === "lm") return [];
    // Both ends are known.
    if (!this.measured.has(curveKey(run))) this.measured.set(curveKey(run), new Map());
    this.values.set(0, results.before.test.accuracy).set(1, results.after.test.accuracy);
    this.slider.value = "1";
    showError(this.error, null);
    this.draw();
    return [
      h(
        "div",
        { class: "part" },
        h("h3", {}, "What if it had learned less, or more?"),
        h(
          "p",
          { class: "help" },
          "Everything that was learned, times a factor: 0 is the model before training, 1 the trained one, 2 twice the change. Where the curve is flat, the exact size of the change matters little; where it falls beyond 1, more of the same is too much.",
        ),
        h("div", { class: "factor" }, this.curve, h("label", { for: "scale" }, "Factor"), this.slider),
        this.answer,
        this.error,
      ),
    ];
  }

  private get values(): Map<number, number> {
    return this.measured.get(curveKey(this.run!))!;
  }

  private get factor(): number {
    return this.slider.valueAsNumber;
  }

  private moved(): void {
    clearTimeout(this.timer);
    this.draw();
    if (!this.values.has(this.factor)) this.timer = window.setTimeout(() => this.measure(), PAUSE);
  }

  private async measure(): Promise<void> {
    const { run, factor, values } = this;
    setText(this.answer, `${factor.toFixed(1)}: measuring …`);
    try {
      const accuracy = await this.client.accuracyAt(run!.id, factor);
      if (accuracy !== null) values.set(factor, accuracy);
      if (run !== this.run) return;
      showError(this.error, null);
      this.draw();
      if (accuracy === null && factor === this.factor)
        setText(this.answer, `${factor.toFixed(1)}: not measured while a run is active.`);
    } catch (error) {
      if (run === this.run) showError(this.error, failureReport(error));
    }
  }

  private draw(): void {
    const { values, factor } = this;
    const accuracy = values.get(factor);
    const rows = this.run!.record.results!.after.test.rows;
    this.slider.setAttribute("aria-valuetext", `${factor.toFixed(1)} times`);
    setText(
      this.answer,
      accuracy === undefined
        ? `${factor.toFixed(1)}`
        : `${factor.toFixed(1)}: ${percent(accuracy)} of ${count(rows)} test messages correct${NAMES[factor] ?? ""}`,
    );
    this.curve.replaceChildren(
      drawCurve(
        [...values].sort(([a], [b]) => a - b),
        factor,
      ),
    );
  }
}

const curveKey = ({ id, record }: PageRun) => `${id} ${record.step}`;

const NAMES: Record<number, string> = { 0: ", as before training", 1: ", as trained" };

function drawCurve(points: readonly (readonly [number, number])[], factor: number): SVGElement {
  const accuracies = points.map(([, accuracy]) => accuracy);
  const low = Math.max(0, Math.floor(10 * Math.min(...accuracies) - 1e-9) / 10);
  const x = (s: number) => LEFT + ((WIDTH - LEFT - TOP) * s) / MOST;
  const y = (accuracy: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (accuracy - low) / (1 - low || 1));
  const text = (content: string, attributes: Record<string, string | number>) =>
    svg("text", attributes, document.createTextNode(content));
  const label = points.map(([s, accuracy]) => `${s.toFixed(1)}: ${percent(accuracy)}`).join(", ");
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Test accuracy by factor. ${label}` },
    svg("line", { class: "axis", x1: x(0), x2: x(MOST), y1: y(low), y2: y(low) }),
    svg("line", { class: "chosen", x1: x(factor), x2: x(factor), y1: y(1), y2: y(low) }),
    svg("polyline", { points: points.map(([s, accuracy]) => `${x(s)},${y(accuracy)}`).join(" ") }),
    ...points.map(([s, accuracy]) => svg("circle", { cx: x(s), cy: y(accuracy), r: s === factor ? 5 : 3 })),
    ...[0, 1, MOST].map((s) => text(String(s), { x: x(s), y: HEIGHT - 5, "text-anchor": "middle" })),
    ...[low, 1].map((share) => text(percent(share, 0), { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" })),
  );
}
