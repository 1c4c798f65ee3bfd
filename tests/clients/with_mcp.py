"""Does what stdin says through the Python package `mcp`, and prints what came of it as JSON.

    with_mcp.py REVISION stdio PROGRAM ARGUMENT…
    with_mcp.py REVISION http URL TOKEN

REVISION is what the package calls a mode: `legacy` shakes hands, a date does not. stdin holds a JSON array of steps,
such as {"call": "list_sessions", "arguments": {}}; the session id of the first answer that has one stands for $ID
in later steps. Judges nothing: the test does.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


async def step(client, step):
    match step:
        case {"call": tool, "arguments": arguments}:
            answer = await client.call_tool(tool, arguments)
            text = [part.text for part in answer.content]
            return {"is_error": bool(answer.is_error), "structured": answer.structured_content, "text": text}
        case {"tools": _}:
            return [tool.name for tool in (await client.list_tools()).tools]
        case {"resources": _}:
            return [str(resource.uri) for resource in (await client.list_resources()).resources]
        case {"templates": _}:
            return [template.uri_template for template in (await client.list_resource_templates()).resource_templates]
        case {"read": uri}:
            return [json.loads(content.text) for content in (await client.read_resource(uri)).contents]
    raise SystemExit(f"no such step: {step}")


async def steps(client, todo):
    done, session_id = [], ""
    for what in todo:
        what = json.loads(json.dumps(what).replace("$ID", session_id))
        try:
            done.append(await step(client, what))
        except MCPError as error:
            done.append({"code": error.code, "message": error.message})
        if not session_id and isinstance(done[-1], dict):
            session_id = (done[-1].get("structured") or {}).get("session_id") or ""
    return done


async def main(revision, kind, where, rest):
    todo = json.load(sys.stdin)
    if kind == "stdio":
        transport = stdio_client(StdioServerParameters(command=where, args=rest, env=dict(os.environ)))
        async with Client(transport, mode=revision) as client:
            return await steps(client, todo)
    headers = {"Authorization": f"Bearer {rest[0]}"} if rest[0] else {}
    async with httpx2.AsyncClient(headers=headers) as http:
        async with Client(streamable_http_client(where, http_client=http), mode=revision) as client:
            return await steps(client, todo)


print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))))
