/** What several parts of the page are made of. */
import type { ComponentChildren, RefObject } from "preact";

export { Bar } from "../../../views/verdict.tsx";

/** A scrollable region that is focusable, so that the keyboard can scroll it. */
export function ScrollArea({ label, kind = "", area, children }: ScrollAreaProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it
    <section ref={area} class={`scroll ${kind}`.trim()} tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}

interface ScrollAreaProps {
  label: string;
  kind?: string;
  area?: RefObject<HTMLElement>;
  children: ComponentChildren;
}

/** Offers a file as a download. */
export function offerFile(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
