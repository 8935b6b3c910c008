/**
 * Serves dist/web on localhost: `node src/tools/web.mjs [--port N]`, 8080 where none is given and it is free. With the
 * headers of dist/web/_headers, that a page may share memory between threads and loads nothing from elsewhere.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import sirv from "sirv";

const PORT = 8080;
const FOLDER = fileURLToPath(new URL("../../dist/web", import.meta.url));

const { values } = parseArgs({ options: { port: { type: "string" } } });

/** Lines "  Name: value" below the pattern of all paths. */
const headers = [...readFileSync(`${FOLDER}/_headers`, "utf8").matchAll(/^ {2}([\w-]+): (.*)$/gm)];
const answer = sirv(FOLDER, { etag: true, dev: true });
const server = createServer((request, response) => {
  // Here and not by sirv, which leaves them out of "not modified": Safari then refuses a worker that it has in its cache.
  for (const [, name, value] of headers) response.setHeader(name, value);
  answer(request, response, () => response.writeHead(404, { "content-type": "text/plain" }).end("not found\n"));
});

server.on("error", (error) => {
  // Without a port of the user's own any will do.
  if (error.code === "EADDRINUSE" && values.port === undefined) server.listen(0, "localhost");
  else {
    console.error(error.message);
    process.exit(1);
  }
});
server.on("listening", () => console.log(`http://localhost:${server.address().port}/`));
server.listen(Number(values.port ?? PORT), "localhost");
