/** Where the page takes the visitor after a press: the part is scrolled to, and has the focus. */
import { signal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";

type Part = "training" | "try" | "write" | "runs" | "start";

const wanted = signal<Part | null>(null);

export function goTo(part: Part): void {
  wanted.value = part;
}

/** The ref of a part's element, which must be focusable. */
export function usePart<E extends HTMLElement>(part: Part) {
  const element = useRef<E>(null);
  useSignalEffect(() => {
    if (wanted.value !== part || !element.current) return;
    wanted.value = null;
    element.current.focus({ preventScroll: true });
    element.current.scrollIntoView({ block: "start" });
  });
  return element;
}
