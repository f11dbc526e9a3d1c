/* All pages are locked, so the system refuses to take some back. A release must not show that. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "check.h"

int main(void) {
    struct rlimit limit = {1 << 28, 1 << 28};
    if (mlockall(MCL_FUTURE) != 0 && (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || mlockall(MCL_FUTURE) != 0)) {
        puts("SKIPPED, as nothing may be locked");
        return 0;
    }
    for (int round = 0; round < 3; round++) {
        void *blocks[40];
        int count = 0;
        while (count < 40 && (blocks[count] = malloc(1 << 20))) memset(blocks[count++], 1, 1 << 20);
        CHECK(count > 20);
        errno = 77;
        while (count > 0) free(blocks[--count]);
        CHECK(errno == 77);
    }
    return FAULTS;
}
