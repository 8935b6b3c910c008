import { load } from "lowrank";

let model;

/** On the server: for other programs. */
export async function POST(request) {
  model ??= load("public/run");
  return Response.json(await (await model).classify(await request.text()));
}
