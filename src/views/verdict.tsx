/** A classifier's answer to a message, in pages. */
import type { ComponentChildren } from "preact";
import { formatScore, percent } from "../core/format.ts";
import type { Labelled } from "../tasks/predictions.ts";

/** A bar for a share, hidden from screen readers: the number next to it says the same. */
export function Bar({ share }: { share: number }) {
  return (
    <svg class="bar" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width={1} height={1} />
      <rect width={share} height={1} />
    </svg>
  );
}

/** A label, in its own direction and no wider than its line: a title has all of it. */
export const LabelName = ({ name }: { name: string }) => <bdi title={name}>{name}</bdi>;

/**
 * The label or labels of a text that is not blank, and the probability of each; the score; or the entities. `children`
 * stand between them.
 */
export function VerdictView({ verdict, children }: { verdict: Labelled; children?: ComponentChildren }) {
  return (
    <>
      <p class="predicted">
        <Predicted verdict={verdict} />
      </p>
      {children}
      {/* A live region around it announces the label alone. */}
      {"probabilities" in verdict && (
        <ul class="bars" aria-label="Probability of each class" aria-live="off">
          {Object.entries(verdict.probabilities).map(([name, share]) => (
            <li key={name}>
              <span class="name">
                <LabelName name={name} />
              </span>
              <Bar share={share} />
              <span class="n">{percent(share)}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

const listLabels = (labels: readonly string[]) =>
  labels.length === 0 ? "no label" : labels.flatMap((name, i) => [i > 0 && ", ", <LabelName key={name} name={name} />]);

function Predicted({ verdict }: { verdict: Labelled }) {
  if ("score" in verdict) return <strong>{formatScore(verdict.score!)}</strong>;
  if ("probabilities" in verdict) {
    const { label, labels, probability } = verdict;
    return (
      <>
        <strong>{labels ? listLabels(labels) : <LabelName name={label!} />}</strong> {!labels && percent(probability!)}
      </>
    );
  }
  if (verdict.entities.length === 0) return <strong>no entity</strong>;
  return verdict.entities.map(({ label, text, probability }, i) => (
    <span key={i}>
      {i > 0 && ", "}
      <strong>
        <bdi>{text}</bdi>
      </strong>{" "}
      <LabelName name={label} /> {percent(probability)}
    </span>
  ));
}
