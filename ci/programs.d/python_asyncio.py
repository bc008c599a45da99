#!/usr/bin/python3
# asyncio: tasks, timers, a subprocess, threads, a Unix socket server.
import asyncio
import os
import tempfile


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def client(path, number):
    reader, writer = await asyncio.open_unix_connection(path)
    lines = []
    for i in range(20):
        writer.write(f"client {number} line {i}\n".encode())
        await writer.drain()
        lines.append(await reader.readline())
    writer.close()
    return lines


async def main():
    values = await asyncio.gather(*(asyncio.sleep(0.01 * (5 - n), n) for n in range(5)))
    print(values)
    child = await asyncio.create_subprocess_exec(
        "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    print(await child.communicate(b"through cat"), child.returncode)
    print(await asyncio.to_thread(sum, range(1000)))
    with tempfile.TemporaryDirectory() as where:
        path = os.path.join(where, "socket")
        server = await asyncio.start_unix_server(serve, path)
        answers = await asyncio.gather(*(client(path, n) for n in range(8)))
        print(answers[7][19], sum(len(lines) for lines in answers))
        server.close()
        await server.wait_closed()
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.02)
    except asyncio.TimeoutError:
        print("timed out")


asyncio.run(main())
