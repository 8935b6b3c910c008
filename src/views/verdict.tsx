/** What a classifier makes of a message, in pages. */
import type { ComponentChildren } from "preact";
import { formatScore, percent } from "../format.ts";
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

/**
 * The label or labels of a text that is not blank, and the probability of each; the score; or the entities. `children`
 * stand between them.
 */
export function VerdictView({ verdict, children }: { verdict: Labelled; children?: ComponentChildren }) {
  if ("entities" in verdict)
    return (
      <>
        <p class="predicted">
          {verdict.entities.length === 0 && <strong>no entity</strong>}
          {verdict.entities.map(({ label, text, probability }, i) => (
            <span>
              {i > 0 && ", "}
              <strong>{text}</strong> {label} {percent(probability)}
            </span>
          ))}
        </p>
        {children}
      </>
    );
  if ("score" in verdict)
    return (
      <>
        <p class="predicted">
          <strong>{formatScore(verdict.score!)}</strong>
        </p>
        {children}
      </>
    );
  const { label, labels, probability, probabilities } = verdict;
  return (
    <>
      <p class="predicted">
        <strong>{labels ? labels.join(", ") || "no label" : label}</strong> {!labels && percent(probability!)}
      </p>
      {children}
      {/* A live region around it announces the label alone. */}
      <ul class="bars" aria-label="Probability of each class" aria-live="off">
        {Object.entries(probabilities).map(([name, share]) => (
          <li key={name}>
            <span class="name">{name}</span>
            <Bar share={share} />
            <span class="n">{percent(share)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
