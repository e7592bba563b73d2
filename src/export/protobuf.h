/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * protobuf.h - messages of protocol buffers, written field by field.
 *
 * Out of memory is remembered: what follows is ignored, and the caller looks at 'failed' once.
 */
#ifndef SEEP_EXPORT_PROTOBUF_H
#define SEEP_EXPORT_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct message {
	uint8_t *bytes;
	size_t length, capacity;
	bool failed;
};

void message_free(struct message *message);

/* Empty it; the memory is kept. */
void message_clear(struct message *message);

/* A number without its field: an item of a packed field. Negative ones take ten bytes. */
void message_varint(struct message *message, uint64_t value);

/* A field with a number; 0, the default of every field, is not written. */
void message_number(struct message *message, unsigned int field, uint64_t value);

/* A field with bytes: a string, packed numbers, a message. Written even when empty. */
void message_bytes(struct message *message, unsigned int field, const void *bytes, size_t length);
void message_nested(struct message *message, unsigned int field, const struct message *nested);

/* Write it gzipped; without a time, so that the same message gives the same file. Returns 0 or
 * -ENOMEM. */
int message_gzip(FILE *out, const struct message *message);

#endif
