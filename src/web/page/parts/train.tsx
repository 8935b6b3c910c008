import { start } from "../state/setup.ts";

export function TrainCard() {
  return (
    <section id="train" class="card">
      <button id="start" class="primary" type="button" onClick={() => start()}>
        Train
      </button>
    </section>
  );
}
