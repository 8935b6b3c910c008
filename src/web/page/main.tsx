/** Begins the page: what the visitor had chosen, the stored runs, the model, and the copy for offline use. */
import { render } from "preact";
import { App } from "./app.tsx";
import { beginModel } from "./state/model.ts";
import { beginRuns } from "./state/runs.ts";

async function begin(): Promise<void> {
  render(<App />, document.querySelector("#app")!);
  await beginRuns();
  await beginModel();
}

void begin();
