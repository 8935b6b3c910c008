/** How much memory a page may take. */

/** WebKit ends a phone's page at 1.5 GB, whatever its buffers say; some of it is not a plan's. */
const PHONE_BYTES = 1.2e9;

/** A browser's description of its machine. A worker does not know `maxTouchPoints`, and is told by its page. */
interface Machine {
  userAgent: string;
  maxTouchPoints?: number;
}

let touchPoints: number | undefined;

/** Tells a worker how many touch points its page's screen has. */
export function tellTouchPoints(count: number): void {
  touchPoints = count;
}

/**
 * Bytes that this page may allocate: browsers do not say; a phone's or a tablet's page has a budget. An iPad says that
 * it is a Macintosh, of which none has a touch screen.
 */
export function pageMemory({ userAgent, maxTouchPoints = touchPoints ?? 0 }: Machine): number | undefined {
  const isTablet = /Macintosh/.test(userAgent) && maxTouchPoints > 1;
  return isTablet || /Android|iPhone|iPad|iPod/.test(userAgent) ? PHONE_BYTES : undefined;
}
