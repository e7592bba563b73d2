# SPDX-License-Identifier: GPL-2.0-only
"""Story: the database is dead, and its driver waits for ever. Each request's coroutine stays parked
on it, with the rows it was about to store."""
import asyncio

import story
import target


class Database:
    """Of a connection that is gone, nobody hears any more."""

    def __init__(self, loop):
        self.loop = loop
        self.waiting = []

    async def store(self, rows):
        answer = self.loop.create_future()
        self.waiting.append(answer)
        await answer
        return len(rows)


async def measure(database, request):
    rows = []
    for sensor in range(29):
        rows.append("sensor %d of request %d: ok" % (sensor, request))  # LINE leak
    await database.store(rows)


async def serve(loop):
    database, tasks = Database(loop), set()
    for request, ahead in story.requests():
        await asyncio.sleep(ahead)
        story.look_up(request)
        story.churn(request)
        task = loop.create_task(measure(database, request))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    return tasks


def main():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    target.ready()
    parked = loop.run_until_complete(serve(loop))
    target.done()
    for task in parked:
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


main()
