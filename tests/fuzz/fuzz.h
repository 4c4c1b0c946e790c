/* What libFuzzer calls (https://llvm.org/docs/LibFuzzer.html), and replay.c too. */
#ifndef HAWSER_TESTS_FUZZ_H
#define HAWSER_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
