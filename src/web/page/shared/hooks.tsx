/** Hooks and parts that several cards use. */

import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/** Moves the focus from a child of `group` that is hidden to the first one that is not; else to `other`. */
export function useNextFocus(group: RefObject<HTMLElement | null>, other?: RefObject<HTMLElement | null>): void {
  // An element that is hidden loses the focus at once.
  const focused = document.activeElement;
  useLayoutEffect(() => {
    const all = [...group.current!.children] as HTMLElement[];
    if (!all.some((element) => element.hidden && element === focused)) return;
    (all.find((element) => !element.hidden) ?? other?.current)?.focus({ preventScroll: true });
  });
}

/** The ref of an element with the class `fits` while its children fit into the window, with a gap around them. */
export function useFit(): RefObject<HTMLDivElement | null> {
  const column = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const { classList, children } = column.current!;
    const cards = [...children] as HTMLElement[];
    // The column itself may be as high as what is beside it.
    const measure = () => {
      const gap = Number.parseFloat(getComputedStyle(column.current!).rowGap);
      const height = cards.reduce((sum, card) => sum + card.offsetHeight + gap, gap);
      classList.toggle("fits", height <= innerHeight);
    };
    const observer = new ResizeObserver(measure);
    for (const card of cards) observer.observe(card);
    addEventListener("resize", measure);
    return () => {
      observer.disconnect();
      removeEventListener("resize", measure);
    };
  }, []);
  return column;
}
