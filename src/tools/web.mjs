/**
 * Serves dist/web on localhost: `node src/tools/web.mjs [--port N]`. Without --port, uses 8080, or another port if it
 * is taken. Sends the headers of dist/web/_headers, which enable shared memory between threads and restrict loading to
 * this origin.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sirv from "sirv";

const PORT = 8080;
const FOLDER = fileURLToPath(new URL("../../dist/web", import.meta.url));

const { values } = parseArgs({ options: { port: { type: "string" } } });

/** Headers are the indented lines "  Name: value". */
const headers = [...readFileSync(`${FOLDER}/_headers`, "utf8").matchAll(/^ {2}([\w-]+): (.*)$/gm)];
const answer = sirv(FOLDER, { etag: true, dev: true });
const server = createServer((request, response) => {
  // Set here because sirv omits them from "not modified" responses, for which Safari refuses a cached worker.
  for (const [, name, value] of headers) response.setHeader(name, value);
  answer(request, response, () => response.writeHead(404, { "content-type": "text/plain" }).end("not found\n"));
});

server.on("error", (error) => {
  // Without --port, any free port is used.
  if (error.code === "EADDRINUSE" && values.port === undefined) server.listen(0, "localhost");
  else {
    console.error(error.message);
    process.exit(1);
  }
});
server.on("listening", () => console.log(`http://localhost:${server.address().port}/`));
server.listen(Number(values.port ?? PORT), "localhost");
