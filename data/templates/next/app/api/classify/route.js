import { Classifier, openDevice } from "lowrank";

let opened;

/** On the server: for other programs. */
export async function POST(request) {
  opened ??= openDevice().then((device) => Classifier.load("public/run", { device }));
  const [answer] = await (await opened).classify([await request.text()]);
  return Response.json(answer);
}
