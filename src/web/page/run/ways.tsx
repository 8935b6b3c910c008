/** Buttons for what the result of a run advises. */

import { waysIn } from "../../../core/surface.ts";
import { readSetting } from "../../../run/settings.ts";
import type { PageRun } from "../../protocol.ts";
import { asField } from "../train/field-list.ts";
import { takeSettings } from "../train/setup.ts";

/** A button for each way that a text advises and the page has: the run's settings with it are taken into the form. */
export const waysAfter = (run: PageRun) => (text: string) =>
  waysIn(text).map((way) => {
    const changes = Object.entries(way).map(([name, value]) => [name, readSetting(name, String(value))] as const);
    const words = Object.entries(way).map(([name, value]) => asField(name, String(value)));
    if (words.includes(null)) return null;
    return (
      <button key={words.join()} type="button" onClick={() => takeSettings(run, Object.fromEntries(changes))}>
        Train again with {words.join(" and ")}
      </button>
    );
  });
