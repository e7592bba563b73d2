/* SPDX-License-Identifier: GPL-2.0-only */
/* protobuf.c - see protobuf.h; https://protobuf.dev/programming-guides/encoding */
#include "export/protobuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_BYTES = 2,
};

#define WIRE_TYPE_BITS 3
#define FIRST_CAPACITY 256
#define GZIP_WINDOW    (MAX_WBITS + 16) /* zlib.h: 16 more for a gzip header */

void message_free(struct message *message)
{
	free(message->bytes);
	*message = (struct message){0};
}

void message_clear(struct message *message)
{
	message->length = 0;
}

/* Room for so many bytes more; NULL when memory is or was out. */
static uint8_t *message_room(struct message *message, size_t length)
{
	size_t capacity = message->capacity ? message->capacity : FIRST_CAPACITY;
	uint8_t *bytes;

	if (message->failed)
		return NULL;
	while (capacity - message->length < length)
		capacity *= 2;
	if (capacity != message->capacity) {
		bytes = realloc(message->bytes, capacity);
		if (!bytes) {
			message->failed = true;
			return NULL;
		}
		message->bytes = bytes;
		message->capacity = capacity;
	}
	message->length += length;
	return message->bytes + message->length - length;
}

void message_varint(struct message *message, uint64_t value)
{
	unsigned int length = 1;
	uint8_t *to;

	for (uint64_t rest = value; rest >>= 7;)
		length++;
	to = message_room(message, length);
	for (; to && length > 1; length--, value >>= 7)
		*to++ = value | 0x80;
	if (to)
		*to = value;
}

void message_number(struct message *message, unsigned int field, uint64_t value)
{
	if (!value)
		return;
	message_varint(message, field << WIRE_TYPE_BITS | WIRE_VARINT);
	message_varint(message, value);
}

void message_bytes(struct message *message, unsigned int field, const void *bytes, size_t length)
{
	uint8_t *to;

	message_varint(message, field << WIRE_TYPE_BITS | WIRE_BYTES);
	message_varint(message, length);
	to = length ? message_room(message, length) : NULL;
	if (to)
		memcpy(to, bytes, length);
}

void message_nested(struct message *message, unsigned int field, const struct message *nested)
{
	message->failed |= nested->failed;
	message_bytes(message, field, nested->bytes, nested->length);
}

int message_gzip(FILE *out, const struct message *message)
{
	z_stream stream = {0};
	uint8_t buffer[1 << 15];
	size_t left = message->length;
	int status = Z_OK;

	if (message->failed || deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW,
					    MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	stream.next_in = message->bytes;
	while (status == Z_OK) {
		uInt piece = left < sizeof(buffer) ? left : sizeof(buffer);

		if (!stream.avail_in) {
			stream.avail_in = piece;
			left -= piece;
		}
		stream.next_out = buffer;
		stream.avail_out = sizeof(buffer);
		status = deflate(&stream, left ? Z_NO_FLUSH : Z_FINISH);
		fwrite(buffer, 1, sizeof(buffer) - stream.avail_out, out);
	}
	deflateEnd(&stream);
	return status == Z_STREAM_END ? 0 : -ENOMEM;
}
