/** Where the page takes the visitor after a press: the part is scrolled to, and has the focus if it can have it. */
import { signal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";

type Part =
  | ("training" | "try" | "write" | "runs" | "start" | "data" | "data-error" | "encoding" | "add-class")
  | `class-${number}`
  | `field-${string}`;

const wanted = signal<Part | null>(null);

export function goTo(part: Part): void {
  wanted.value = part;
}

/** The ref of a part's element. `nearest`: the page is not scrolled where the part is in sight. */
export function usePart<E extends HTMLElement>(part: Part, block: "start" | "nearest" = "start") {
  const element = useRef<E>(null);
  useSignalEffect(() => {
    if (wanted.value !== part || !element.current) return;
    wanted.value = null;
    // After the page is drawn: what took the visitor here may also show the part.
    setTimeout(() => {
      const around = element.current?.closest("details");
      if (around) around.open = true;
      element.current?.focus({ preventScroll: true });
      element.current?.scrollIntoView({ block });
    });
  });
  return element;
}
