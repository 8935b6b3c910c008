/** What several parts of the page are made of. */

import { useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect } from "preact/hooks";

/** The module of a part that is loaded once it is wanted; null before. */
export function useModule<M extends object>(isWanted: boolean, load: () => Promise<M>): M | null {
  const loaded = useSignal<M | null>(null);
  useEffect(() => {
    const take = async () => {
      loaded.value = await load();
    };
    if (isWanted) void take();
  }, [isWanted]);
  return loaded.value;
}

/** Moves the focus from a child of `group` that is hidden to the first one that is not; else to `other`. */
export function useNextFocus(group: RefObject<HTMLElement | null>, other?: RefObject<HTMLElement | null>): void {
  // An element that is hidden loses the focus at once.
  const focused = document.activeElement;
  useLayoutEffect(() => {
    const all = [...group.current!.children] as HTMLElement[];
    if (!all.some((one) => one.hidden && one === focused)) return;
    (all.find((one) => !one.hidden) ?? other?.current)?.focus({ preventScroll: true });
  });
}
