/** Where the page takes the visitor after a press: the part is scrolled to, and has the focus. */
import { signal, useComputed } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

type Part = "training" | "try" | "write" | "runs" | "start";

const wanted = signal<Part | null>(null);

export function goTo(part: Part): void {
  wanted.value = part;
}

/** The ref of a part's element, which must be focusable. */
export function usePart<E extends HTMLElement>(part: Part) {
  const element = useRef<E>(null);
  const isWanted = useComputed(() => wanted.value === part).value;
  // After each render: a part may be shown only after it is wanted.
  useLayoutEffect(() => {
    if (!isWanted || !element.current || element.current.hidden) return;
    wanted.value = null;
    element.current.focus({ preventScroll: true });
    const { top } = element.current.getBoundingClientRect();
    if (top < 0 || top > innerHeight / 2) element.current.scrollIntoView({ block: "start" });
  });
  return element;
}
