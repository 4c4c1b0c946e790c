/* Runs a fuzz target over the files of a directory, without libFuzzer: every build has this test.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include "protocol/alloc.h"

enum { INPUT_MAX = 2 << 20 };

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return -1;
	}
	uint8_t *data = xmalloc(INPUT_MAX);
	size_t size = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	/* Memory of its own size, so that the sanitizer knows its end. */
	data = xreallocarray(data, size, 1);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	size_t files = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *entry;
		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		while ((entry = readdir(dir))) {
			if (entry->d_name[0] == '.')
				continue;
			char *path = xasprintf("%s/%s", argv[i], entry->d_name);
			int r = replay_file(path);
			free(path);
			if (r < 0)
				return 1;
			files++;
		}
		closedir(dir);
	}
	printf("%zu inputs\n", files);
	return files > 0 ? 0 : 1; /* a corpus that is not there proves nothing */
}
