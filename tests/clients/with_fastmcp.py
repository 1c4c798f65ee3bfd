"""Does what stdin says through the Python package `fastmcp`, and prints what came of it as JSON.

    with_fastmcp.py stdio PROGRAM ARGUMENT…
    with_fastmcp.py http URL TOKEN

Steps and answers are those of with_mcp.py. Judges nothing: the test does.
"""

import asyncio
import json
import os
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp import MCPError


async def step(client, step):
    match step:
        case {"call": tool, "arguments": arguments}:
            answer = await client.call_tool(tool, arguments, raise_on_error=False)
            text = [part.text for part in answer.content]
            return {"is_error": bool(answer.is_error), "structured": answer.structured_content, "text": text}
        case {"tools": _}:
            return [tool.name for tool in await client.list_tools()]
        case {"resources": _}:
            return [str(resource.uri) for resource in await client.list_resources()]
        case {"templates": _}:
            return [template.uri_template for template in await client.list_resource_templates()]
        case {"read": uri}:
            return [json.loads(content.text) for content in await client.read_resource(uri)]
    raise SystemExit(f"no such step: {step}")


async def main(kind, where, rest):
    if kind == "stdio":
        transport = StdioTransport(command=where, args=rest, env=dict(os.environ), keep_alive=False)
    else:
        transport = StreamableHttpTransport(where, headers={"Authorization": f"Bearer {rest[0]}"} if rest[0] else {})
    done, session_id = [], ""
    async with Client(transport) as client:
        for what in json.load(sys.stdin):
            what = json.loads(json.dumps(what).replace("$ID", session_id))
            try:
                done.append(await step(client, what))
            except MCPError as error:
                done.append({"code": error.code, "message": error.message})
            if not session_id and isinstance(done[-1], dict):
                session_id = (done[-1].get("structured") or {}).get("session_id") or ""
    return done


print(json.dumps(asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))))
