"use client";
import { Classifier, openDevice } from "lowrank";
import { useState } from "react";

let opened;

/** In the visitor's browser: what is typed is not sent anywhere. */
async function classify(text) {
  opened ??= openDevice().then((device) => Classifier.load(`${location.origin}/run/adapter`, { device }));
  const [{ label, probability }] = await (await opened).classify([text]);
  return `${label} ${probability}`;
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
