/** Some messages of the validation set, each with a bar for its true label, which moves as the run learns. */
import { percent } from "../../../format.ts";
import { joinPair } from "../../../pair.ts";
import { answerOf } from "../../../tasks/predictions.ts";
import { Bar } from "../../../views/verdict.tsx";
import type { WatchedMessage } from "../../protocol.ts";
import { judge, showAnswer } from "../try/judge.tsx";
import { watched } from "./watch.ts";

export function Watched() {
  if (watched.value.length === 0) return null;
  return (
    <div id="watched">
      <h3>How sure it is of the right label, for messages it does not learn from</h3>
      <ul>
        {watched.value.map((one, i) => (
          <Message key={i} message={one} />
        ))}
      </ul>
    </div>
  );
}

/** Its true label, and how probable that is by now; of scores and several labels what is predicted. */
function Message({ message: { text, truth, answer } }: { message: WatchedMessage }) {
  const shown = showAnswer(truth);
  const short = joinPair(text).replaceAll(/\s+/g, " ");
  const share = answer && "probabilities" in answer && typeof truth === "string" ? answer.probabilities[truth]! : null;
  const predicted = answer && answerOf(answer);
  const look = predicted === null ? "help" : judge(truth, predicted)[0];
  return (
    <li class={look}>
      <span class="text" title={short} dir="auto">
        {short}
      </span>
      {typeof truth === "string" && <Bar share={share ?? 0} />}
      <small>
        <bdi>{shown}</bdi> {share === null ? predicted !== null && `: ${showAnswer(predicted)}` : percent(share, 0)}
      </small>
    </li>
  );
}
