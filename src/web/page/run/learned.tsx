/** What the shown run learned: how far each matrix moved, and how its adapter uses the rank. */
import { type Signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { capital, joinWords, percent } from "../../../format.ts";
import { METHODS, type Mode } from "../../../methods/index.ts";
import type { Change, Changes } from "../../../run/changes.ts";
import { ScrollArea } from "../../../views/components.tsx";
import type { PageRun } from "../../protocol.ts";
import { Select } from "../shared/controls.tsx";

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
  const adapted = changes.changes
    .map((change, i) => ({ ...change, i }))
    .filter(({ adapter }) => adapter?.spectrum)
    .sort((a, b) => a.i - b.i);
  const [most] = adapted.toSorted(
    (a, b) => Number(a.block === null) - Number(b.block === null) || relative(b) - relative(a),
  );
  /** The matrix whose singular values are shown. */
  const chosen = useSignal(most?.i ?? -1);
  return (
    <div id="learned-body">
      <HeatMap {...run.record.options} {...changes} chosen={chosen} />
      {most && <Spectra adapted={adapted} chosen={chosen} />}
    </div>
  );
}

/** Of zeros, such as the biases of an untrained model, there is no share. */
const relative = ({ norm, of }: Change) => (of > 0 ? norm / of : 0);
const share = (value: number) => percent(value, value >= 0.0995 ? 0 : value >= 0.00995 ? 1 : 2);

function Help({ children }: { children: ComponentChildren }) {
  return <p class="help">{children}</p>;
}

type HeatMapProps = Changes & { mode: Mode; scaling: string; dora: boolean; chosen: Signal<number> };

function HeatMap({ kind, blocks, changes, mode, scaling, dora, chosen }: HeatMapProps) {
  const inside = changes.filter(({ block }) => block !== null);
  const outside = changes.filter(({ block }) => block === null);
  const rest = outside.filter(({ of }) => of > 0).map((one) => `${NAMES[one.part]} by ${share(relative(one))}`);
  const fresh = outside.filter(({ of }) => of === 0).map(({ part }) => NAMES[part]!);
  const most = Math.max(...inside.map(relative));
  const parts = [...new Set(inside.map(({ part }) => part))];
  const cell = (block: number, part: string) => {
    const i = changes.findIndex((one) => one.block === block && one.part === part);
    const change = changes[i];
    if (!change)
      return (
        <span class="heat">
          <span class="hidden">frozen</span>
        </span>
      );
    const shade = most > 0 ? Math.ceil((SHADES * relative(change)) / most) : 0;
    return (
      // biome-ignore lint/a11y: the keyboard has the list below
      <span
        class={`heat heat${shade}`}
        title={`size of the change ${change.norm.toPrecision(3)}, size before ${change.of.toPrecision(3)}`}
        data-matrix={change.adapter && i}
        onClick={() => {
          if (change.adapter) chosen.value = i;
        }}
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

/** The singular values of one matrix, which is chosen from a list. */
function Spectra({ adapted, chosen }: { adapted: readonly (Change & { i: number })[]; chosen: Signal<number> }) {
  const { values, used, share } = adapted.find(({ i }) => i === chosen.value)!.adapter!.spectrum!;
  const most = Math.max(...values) || 1;
  return (
    <div class="part">
      <h3>How much of the rank is used</h3>
      <Help>
        A change of rank r is a sum of r directions; a singular value of ΔW = s·B·A is how strongly one of them counts.
        Where a few are large and the others small, a smaller rank would have learned nearly the same.
      </Help>
      <label for="matrix">Matrix</label>
      <Select
        id="matrix"
        value={chosen.value}
        take={(i) => {
          chosen.value = Number(i);
        }}
        options={adapted.map(({ block, part, i }) => [i, block === null ? NAMES[part]! : `Block ${block}, ${part}`])}
      />
      <div class="part" aria-live="polite">
        <svg
          class="singular"
          viewBox={`0 0 ${values.length} 1`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Singular values, the largest first: ${values.map((value) => value.toPrecision(3)).join(", ")}`}
        >
          {values.map((value, i) => (
            <rect
              key={i}
              class={i < used ? "used" : ""}
              x={i + 0.1}
              width={0.8}
              y={1 - value / most}
              height={value / most}
            >
              <title>{`${i + 1}: ${value.toPrecision(3)}`}</title>
            </rect>
          ))}
        </svg>
        <p>
          <strong>
            Uses {used} of rank {values.length}:
          </strong>{" "}
          {used === 1 ? "one singular value holds" : `${used} singular values hold`} {percent(share, 0)} of the sum of
          the squares of all.
        </p>
      </div>
    </div>
  );
}
