"use client";
import { load } from "lowrank";
import "lowrank/bases/e5-small-cut"; // the base model of the run
import { useState } from "react";

let model;

/** In the visitor's browser: what is typed is not sent anywhere. */
async function classify(text) {
  model ??= load("/run");
  const { label, probability } = await (await model).classify(text);
  // An empty text has no label.
  return label === null ? "" : `${label} ${probability}`;
}

export default function Page() {
  const [answer, setAnswer] = useState("");
  return (
    <main>
      <input id="text" aria-label="Message" onChange={async ({ target }) => setAnswer(await classify(target.value))} />
      <output id="answer">{answer}</output>
    </main>
  );
}
