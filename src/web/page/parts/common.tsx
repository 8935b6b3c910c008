/** What several parts of the page are made of. */
import type { ComponentChildren } from "preact";

export { Bar } from "../../../views/verdict.tsx";

/** A scrollable region that is focusable, so that the keyboard can scroll it. */
export function ScrollArea(props: { label: string; kind?: string; children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
    <section class={`scroll ${props.kind ?? ""}`.trim()} tabIndex={0} aria-label={props.label}>
      {props.children}
    </section>
  );
}

/** Offers a file as a download. */
export function offerFile(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
