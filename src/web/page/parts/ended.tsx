/** The notice that the page's worker has ended, seen wherever the visitor is. */
import { askAgain } from "../state/ask.ts";
import { goTo } from "../state/attention.ts";
import { cutOff, look, runs } from "../state/runs.ts";
import { workerEnd } from "../state/worker.ts";
import { runTitle, sentence } from "../words.ts";

export function EndNotice() {
  const report = workerEnd.value;
  const run = runs.value.find(({ id }) => id === cutOff.value);
  const close = () => {
    workerEnd.value = null;
  };
  const toRun = () => {
    close();
    look(run!);
  };
  const again = () => {
    askAgain();
    goTo("start");
  };
  return (
    <div class="toast" role="alert">
      {report && (
        <>
          <p>
            <strong>{sentence(report.summary)}</strong>
            {run && ` It trained ${runTitle(run)}. Resume it from the last checkpoint.`}
          </p>
          {run ? (
            <button type="button" onClick={toRun}>
              Go to the run
            </button>
          ) : (
            <button type="button" onClick={again}>
              Try again
            </button>
          )}
          <button type="button" onClick={close}>
            Close
          </button>
        </>
      )}
    </div>
  );
}
