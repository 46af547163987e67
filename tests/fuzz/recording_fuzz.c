/* SPDX-License-Identifier: BSD-3-Clause */
/* Recordings are files that people send each other: whatever is in one, reading it stays within
 * it. The input is taken as a file, and, because a checksum stops most of those, as the body of an
 * event too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/observe/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_body(struct rec_in in)
{
	struct record_result result;
	struct rec_in again = in;
	char text[40];
	size_t n;

	while (!in.bad && in.p < in.end) {
		rec_in_u64(&in);
		rec_in_bytes(&in, &n);
		rec_in_str(&in, text, sizeof text);
	}
	record_read_result(&again, &result);
}

static void read_all(const struct recording_file *f)
{
	struct recording_cursor at;
	struct rec_in in;

	for (unsigned part = 0; recording_part(f, part, &at); part++)
		while (recording_next(f, &at, &in))
			read_body(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own size, so that a read beyond it is seen. */
	struct recording_file f = {.name = "fuzz", .data = malloc(size + !size), .len = size};
	struct err e = {0};

	if (!f.data)
		return 0;
	memcpy(f.data, data, size);
	if (!recording_check(&f, &e))
		read_all(&f);
	read_body((struct rec_in){.type = REC_OUT, .p = f.data, .end = f.data + size});
	free(f.data);
	return 0;
}
