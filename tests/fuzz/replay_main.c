/* SPDX-License-Identifier: BSD-3-Clause */
/* main() of a fuzz target without libFuzzer: runs the target over every file of the directories
 * (or files) given, then over a fixed number of seeded mutations of them, so that gcc-only machines
 * exercise the same code in every test run; SLUICE_FULL=1 in the environment makes it a hundred
 * times as many. Prints how many inputs it ran. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, MUTATIONS = 200, MUTATIONS_FULL = 20000 };

static uint64_t random_state = 88172645463325252ull;
static unsigned long inputs;
static int mutations = MUTATIONS;

static uint64_t next_random(void) /* xorshift64: the same sequence in every run */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A copy of exactly `size` bytes, so that ASan sees a read behind the end. */
static void run_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	inputs++;
}

static void mutate_and_run(uint8_t *data, size_t size)
{
	for (int i = 0; i < mutations && size; i++) {
		uint8_t *copy = malloc(size);
		size_t cut = next_random() % 4 ? size : next_random() % size;

		if (!copy)
			abort();
		memcpy(copy, data, size);
		for (uint64_t n = next_random() % 4 + 1; n; n--) {
			uint8_t *at = copy + next_random() % size;

			switch (next_random() % 3) {
			case 0:
				*at ^= (uint8_t)(1u << next_random() % 8);
				break;
			case 1:
				*at = (uint8_t)next_random();
				break;
			case 2:
				*at = next_random() % 2 ? 0xff : 0;
				break;
			}
		}
		run_one(copy, cut);
		free(copy);
	}
}

static int run_file(const char *path)
{
	static uint8_t buf[INPUT_MAX];
	FILE *f = fopen(path, "rb");

	if (!f) {
		perror(path);
		return 1;
	}
	size_t n = fread(buf, 1, sizeof buf, f);
	fclose(f);
	run_one(buf, n);
	mutate_and_run(buf, n);
	return 0;
}

static int run_path(const char *path)
{
	struct stat st;
	int rc = 0;

	if (stat(path, &st)) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode))
		return run_file(path);
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char file[4096];

		if (names[i]->d_name[0] != '.') {
			snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
			rc |= run_path(file);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = 0;

	if (getenv("SLUICE_FULL"))
		mutations = MUTATIONS_FULL;
	for (int i = 1; i < argc; i++)
		rc |= run_path(argv[i]);
	printf("%lu inputs\n", inputs);
	return rc || !inputs;
}
