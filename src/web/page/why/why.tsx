/** What is computed of an answer when the visitor asks for it: its code is loaded then. */
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { TASKS } from "../../../tasks/index.ts";
import { isTraining } from "../runs/runs.ts";
import { useModule } from "../shared/hooks.tsx";
import { classifier, version } from "../try/try.ts";

export function Why() {
  const run = classifier.value;
  const isOpen = useSignal(false);
  const summary = useRef<HTMLElement>(null);
  const close = () => {
    isOpen.value = false;
    summary.current!.focus();
  };
  const loaded = useModule(isOpen.value, () => import("./why-part.tsx"));
  // An adapter from a file has no data, and a run that trains needs the device.
  const isOffered = run && run.state !== "loaded" && TASKS[run.record.objective].target === "text" && !isTraining.value;
  return (
    <details
      id="why"
      hidden={!isOffered}
      open={isOpen.value}
      onToggle={({ currentTarget }) => {
        isOpen.value = currentTarget.open;
      }}
    >
      <summary ref={summary}>Training messages like this one, and a map of the test messages</summary>
      {isOffered && isOpen.value && loaded && <loaded.WhyPart key={version.value} close={close} />}
    </details>
  );
}
