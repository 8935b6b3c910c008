/** The results of the shown run, and what it learned, in figures. */
import type { ComponentChildren } from "preact";
import { capital, joinWords, percent } from "../../../core/format.ts";
import { METHODS, type Mode } from "../../../methods/index.ts";
import type { Change, Changes } from "../../../run/changes.ts";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks, ScrollArea } from "../../../views/components.tsx";
import { resultBlocks } from "../../../views/run.ts";
import { hasAdapter, type PageRun, SEEDS } from "../../protocol.ts";
import { addSeeds, isTraining, shown } from "../runs/runs.ts";
import { inPageWords } from "../shared/words.ts";
import { Course, curvesOf } from "./course.tsx";
import { view } from "./view.ts";

/** One that started from another run's adapter has no copy of it for others. */
const canAddSeeds = ({ state, comparison, record }: PageRun) =>
  state === "finished" && comparison === undefined && record.adapter === undefined && record.counts.rows[2]! > 0;

export function OutcomeCard() {
  const run = shown.value;
  const isShown = view.value === "result";
  return (
    <section id="outcome" class="card" aria-labelledby="outcome-title" hidden={!isShown}>
      <h2 id="outcome-title">Result</h2>
      {run && isShown && (
        <>
          <details id="course" open>
            <summary>How it was trained</summary>
            <Course run={run} curves={curvesOf(run)} />
          </details>
          {run.record.results && (
            <details open>
              <summary>All figures</summary>
              <div id="outcome-body">
                <Blocks blocks={resultBlocks(run.record)} medium={{ ...IN_PAGE, words: inPageWords }} />
                {canAddSeeds(run) && (
                  <button id="add-seeds" type="button" disabled={isTraining.value} onClick={() => addSeeds(run)}>
                    Train {SEEDS - 1} more seeds
                  </button>
                )}
              </div>
            </details>
          )}
        </>
      )}
    </section>
  );
}

export function LearnedCard() {
  const run = shown.value;
  const isShown = view.value === "learned";
  const changes = isShown && run && hasAdapter(run) && run.changes;
  return (
    <section id="learned" class="card" aria-labelledby="learned-title" hidden={!isShown}>
      <h2 id="learned-title">What it learned</h2>
      {changes && <Learned key={`${run.id} ${run.record.step}`} run={run} changes={changes} />}
    </section>
  );
}

/** Shades of a cell: `heat1` to `heat8` of the style sheet. */
const SHADES = 8;

const NAMES: Record<string, string> = {
  wte: "the token table",
  wpe: "the position table",
  ln_f: "the final layer norm",
  lm_head: "the head",
  head: "the head",
};

export function Learned({ run, changes }: { run: PageRun; changes: Changes }) {
  return (
    <div id="learned-body">
      <HeatMap {...run.record.options} {...changes} />
    </div>
  );
}

/** Of zeros, such as the biases of an untrained model, there is no share. */
const relative = ({ norm, of }: Change) => (of > 0 ? norm / of : 0);
const share = (value: number) => percent(value, value >= 0.0995 ? 0 : value >= 0.00995 ? 1 : 2);

function Help({ children }: { children: ComponentChildren }) {
  return <p class="help">{children}</p>;
}

type HeatMapProps = Changes & { mode: Mode; scaling: string; dora: boolean };

function HeatMap({ kind, blocks, changes, mode, scaling, dora }: HeatMapProps) {
  const inside = changes.filter(({ block }) => block !== null);
  const outside = changes.filter(({ block }) => block === null);
  const rest = outside.filter(({ of }) => of > 0).map((one) => `${NAMES[one.part]} by ${share(relative(one))}`);
  const fresh = outside.filter(({ of }) => of === 0).map(({ part }) => NAMES[part]!);
  const most = Math.max(...inside.map(relative));
  const parts = [...new Set(inside.map(({ part }) => part))];
  const cell = (block: number, part: string) => {
    const change = changes.find((candidate) => candidate.block === block && candidate.part === part);
    if (!change)
      return (
        <span class="heat">
          <span class="hidden">frozen</span>
        </span>
      );
    const shade = most > 0 ? Math.ceil((SHADES * relative(change)) / most) : 0;
    return (
      <span
        class={`heat heat${shade}`}
        title={`size of the change ${change.norm.toPrecision(3)}, size before ${change.of.toPrecision(3)}`}
      >
        {share(relative(change)).replace(/\s%/, "")}
      </span>
    );
  };
  const isPartly = inside.length < blocks * parts.length;
  return (
    <div class="part">
      <h3>{kind === "bias" ? "Change of each bias" : "Change of each matrix"}</h3>
      {inside.length === 0 ? (
        <Help>In {METHODS[mode].title} every matrix of the blocks stays as it was.</Help>
      ) : (
        <>
          <Help>
            {about(mode, scaling, dora)}
            {isPartly && " Cells without a number stayed frozen."}
          </Help>
          <ScrollArea label="Changes by block" kind="heatmap tall">
            <table>
              <caption>Size of the change in % of the size before: ‖ΔW‖ / ‖W‖, Frobenius norms</caption>
              <thead>
                <tr>
                  {["Block", ...parts].map((title) => (
                    <th key={title} scope="col">
                      {title}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {Array.from({ length: blocks }, (_, block) => (
                  <tr key={block}>
                    <th scope="row">{block}</th>
                    {parts.map((part) => (
                      <td key={part}>{cell(block, part)}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </ScrollArea>
          <p class="scale" aria-hidden="true">
            {"0\u00a0%"}
            <span>
              {Array.from({ length: SHADES + 1 }, (_, i) => (
                <i key={i} class={`heat heat${i}`} />
              ))}
            </span>
            {share(most)}
          </p>
          <Help>
            Of attention: q, k, v (queries, keys, values) and o (output). Of the MLP: fc and proj. ln: layer norms.
          </Help>
        </>
      )}
      {rest.length > 0 && <Help>Outside the blocks, training moved {joinWords(rest)} of its size.</Help>}
      {fresh.length > 0 && (
        <Help>{capital(joinWords(fresh))} began with zeros: all that is in it was learned in this run.</Help>
      )}
    </div>
  );
}

function about(mode: Mode, scaling: string, dora: boolean): string {
  const what =
    mode === "lora"
      ? `LoRA leaves each matrix W as it was and adds ΔW = s·B·A, s = ${scaling}${dora ? "; the scaling by DoRA is not counted" : ""}.`
      : "ΔW is what training added to the pretrained values W.";
  return `${what} The stronger a cell's colour, the more the model had to change there.`;
}
