// Does what stdin says through the TypeScript SDK, and prints what came of it as JSON.
//
//     node with_sdk.mjs DIRECTORY stdio PROGRAM ARGUMENT…
//     node with_sdk.mjs DIRECTORY http URL TOKEN
//
// DIRECTORY is where npm put @modelcontextprotocol/sdk. Steps and answers are those of with_mcp.py. Judges
// nothing: the test does.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [directory, kind, where, ...rest] = process.argv.slice(2);
const require = createRequire(`${directory}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/client/${name}`)).href);
const { Client } = await load("index.js");

async function transport() {
  if (kind === "stdio") {
    const { StdioClientTransport } = await load("stdio.js");
    return new StdioClientTransport({ command: where, args: rest, env: process.env });
  }
  const { StreamableHTTPClientTransport } = await load("streamableHttp.js");
  const headers = rest[0] ? { Authorization: `Bearer ${rest[0]}` } : {};
  return new StreamableHTTPClientTransport(new URL(where), { requestInit: { headers } });
}

async function step(client, step) {
  if (step.call) {
    const answer = await client.callTool({ name: step.call, arguments: step.arguments });
    const text = answer.content.map((part) => part.text);
    return { is_error: answer.isError ?? false, structured: answer.structuredContent ?? null, text };
  }
  if (step.tools) return (await client.listTools()).tools.map((tool) => tool.name);
  if (step.resources) return (await client.listResources()).resources.map((resource) => resource.uri);
  if (step.templates)
    return (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  if (step.read) {
    const { contents } = await client.readResource({ uri: step.read });
    return contents.map((content) => JSON.parse(content.text));
  }
  throw new Error(`no such step: ${JSON.stringify(step)}`);
}

const client = new Client({ name: "shelltrack-tests", version: "1" });
await client.connect(await transport());
const done = [];
let sessionId = "";
for (const text of JSON.parse(readFileSync(0, "utf8")).map((step) => JSON.stringify(step))) {
  const what = JSON.parse(text.replaceAll("$ID", sessionId));
  try {
    done.push(await step(client, what));
  } catch (error) {
    done.push({ code: error.code, message: error.message });
  }
  sessionId ||= done.at(-1)?.structured?.session_id ?? "";
}
await client.close();
console.log(JSON.stringify(done));
