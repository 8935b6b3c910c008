/** What several parts of the page are made of. */
import type { ComponentChildren, RefObject } from "preact";

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

/** A bar for a share, hidden from screen readers: the number beside it says the same. */
export function Bar({ share }: { share: number }) {
  return (
    <svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" width={100} height={1} />
      <rect width={100 * share} height={1} />
    </svg>
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
