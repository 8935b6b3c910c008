/** The notice that the page's worker has ended, seen wherever the visitor is. */
import { goTo } from "../state/attention.ts";
import { cutOff, look, runs } from "../state/runs.ts";
import { workerEnd } from "../state/worker.ts";
import { runTitle, sentence } from "../words.ts";

export function EndNotice() {
  const report = workerEnd.value;
  const run = runs.value.find(({ id }) => id === cutOff.value?.id);
  const close = () => {
    workerEnd.value = null;
  };
  const go = () => {
    close();
    if (run) look(run);
    else goTo("start");
  };
  return (
    <div class="toast" role="alert">
      {report && (
        <>
          <p>
            <strong>{sentence(report.summary)}</strong>{" "}
            {run ? `It trained ${runTitle(run)}. Resume it from the last checkpoint.` : "Try again."}
          </p>
          <button type="button" onClick={go}>
            {run ? "Go to the run" : "Go to the Train button"}
          </button>
          <button type="button" onClick={close}>
            Close
          </button>
        </>
      )}
    </div>
  );
}
