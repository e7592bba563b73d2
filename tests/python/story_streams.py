# SPDX-License-Identifier: GPL-2.0-only
"""Story: a stream that ends takes itself out of the server's list, in Stream.close(). The class for
encoded streams has a close() of its own, and lost the call of super()."""
import story
import target


class Stream:
    open_streams = set()

    def __init__(self):
        self.pending = bytearray()
        self.open_streams.add(self)

    def write(self, data):
        self.pending += data  # LINE leak

    def close(self):
        self.open_streams.discard(self)


class EncodedStream(Stream):
    def write(self, data):
        super().write(b"%x\r\n%s\r\n" % (len(data), data))

    def close(self):
        self.write(b"")
        # super().close() stood here


def serve(request):
    stream = Stream() if request % 3 == 0 else EncodedStream()
    for number in range(7):
        stream.write(b"chunk %d of the answer to request %d, " % (number, request) * 5)
    stream.close()


def main():
    target.ready()
    for request in story.paced():
        serve(request)
    target.done()


main()
