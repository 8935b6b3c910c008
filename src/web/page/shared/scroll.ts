/** Where the page takes the visitor after a press: the part is scrolled to, and has the focus if it can have it. */
import { signal, useComputed } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

export type PagePart =
  | ("training" | "try" | "write" | "runs" | "start" | "data" | "data-error" | "encoding" | "examples" | "model")
  | `field-${string}`;

const wanted = signal<PagePart | null>(null);

export function goTo(part: PagePart): void {
  wanted.value = part;
}

/** The ref of a part's element. `nearest`: the page is not scrolled where the part is in sight. */
export function usePart<E extends HTMLElement>(part: PagePart, block: "start" | "nearest" = "start") {
  const element = useRef<E>(null);
  const isWanted = useComputed(() => wanted.value === part).value;
  // After each render: a part may be shown only after it is wanted.
  useLayoutEffect(() => {
    const { current } = element;
    if (!isWanted || !current || current.hidden) return;
    wanted.value = null;
    const around = current.closest("details");
    if (around) around.open = true;
    current.focus({ preventScroll: true });
    const { top } = current.getBoundingClientRect();
    if (block === "nearest" || top < 0 || top > innerHeight / 2) current.scrollIntoView({ block });
  });
  return element;
}
