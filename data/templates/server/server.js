/** `node server.js`, then `curl --data "See you at noon" localhost:3000` gives the label of a text as JSON. */
import { createServer } from "node:http";
import { load } from "lowrank";

const MOST = 100_000;
const model = await load("run");

async function answer(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) if (text.length <= MOST) text += piece;
  if (text.length > MOST) return [413, { error: `a text has at most ${MOST} characters` }];
  return [200, await model.classify(text)];
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch(({ message }) => [500, { error: message }]);
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}).listen(process.env.PORT ?? 3000, () => console.log(`listening on port ${server.address().port}`));

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => server.close(() => model.destroy()));
