/** Messages with their labels, of which a click tries one. */
import { joinPair } from "../../../core/pair.ts";
import type { KnownMessage } from "../../protocol.ts";
import { showAnswer } from "./judge.tsx";
import { setMessage } from "./try.ts";

/** Characters of a message on its button. */
const SHOWN = 120;

export function MessageButton({ text }: Pick<KnownMessage, "text">) {
  const line = joinPair(text).trim().replaceAll(/\s+/g, " ");
  return (
    <button type="button" class="link" dir="auto" onClick={() => setMessage(text)}>
      {line.length > SHOWN ? `${line.slice(0, SHOWN)} …` : line}
    </button>
  );
}

export function MessageList({ id, messages }: { id?: string; messages: readonly KnownMessage[] }) {
  return (
    <ul id={id} class="chips">
      {messages.map(({ text, truth }, i) => (
        <li key={i}>
          <MessageButton text={text} />
          <bdi class="chip" title={showAnswer(truth)}>
            {showAnswer(truth)}
          </bdi>
        </li>
      ))}
    </ul>
  );
}
