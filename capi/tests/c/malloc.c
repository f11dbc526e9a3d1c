/* malloc and its family: what a program may rely on, and what glibc and musl do beyond that. It passes with the system's
 * malloc, too: so these are the C library's rules. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

/* C23; not every C library has them yet. */
__attribute__((weak)) void free_sized(void *block, size_t size);
__attribute__((weak)) void free_aligned_sized(void *block, size_t align, size_t size);

#ifdef __GLIBC__
#define GLIBC 1
#else
#define GLIBC 0
#endif

static int aligned(const void *block, size_t align) { return (uintptr_t)block % align == 0; }

static int filled(const unsigned char *block, int byte, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (block[i] != byte) return 0;
    return 1;
}

static void sizes(void) {
    static const size_t sizes[] = {0, 1, 8, 15, 16, 17, 100, 1000, 1024, 1025, 4096, 65535, 65536, 65537, 1 << 20, 9 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        unsigned char *one = malloc(size), *two = malloc(size), *zero = calloc(size, 1);
        CHECK(one && two && zero && one != two);
        CHECK(aligned(one, 16) && aligned(two, 16) && aligned(zero, 16));
        CHECK(malloc_usable_size(one) >= size);
        CHECK(filled(zero, 0, size));
        memset(one, 1, malloc_usable_size(one));
        memset(two, 2, size);
        memset(zero, 3, size);
        CHECK(filled(one, 1, size) && filled(two, 2, size));
        free(two);
        free(zero);
        /* What was written comes back as zeroes. */
        zero = calloc(1, size);
        CHECK(filled(zero, 0, size));
        free(zero);
        free(one);
    }
    CHECK(malloc_usable_size(NULL) == 0);
    free(NULL);
}

static void resizes(void) {
    static const size_t sizes[] = {1, 20, 100, 90, 5000, 70000, 3 << 20, 2 << 20, 66000, 300, 10, 1 << 24, 1};
    unsigned char *block = realloc(NULL, 1);
    size_t had = 1;
    CHECK(block);
    block[0] = 7;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        block = realloc(block, sizes[i]);
        CHECK(block && aligned(block, 16));
        CHECK(filled(block, 7, had < sizes[i] ? had : sizes[i]));
        had = sizes[i];
        memset(block, 7, had);
    }
    errno = 0;
    CHECK(realloc(block, SIZE_MAX) == NULL && errno == ENOMEM);
    CHECK(filled(block, 7, had));
    errno = 0;
    CHECK(reallocarray(block, SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    CHECK(filled(block, 7, had));
    block = reallocarray(block, 100, 10);
    CHECK(block && block[0] == 7 && malloc_usable_size(block) >= 1000);
    /* glibc's releases the block; musl's makes it a small one. */
    block = realloc(block, 0);
    CHECK((block == NULL) == GLIBC);
    free(block);
    void *nothing = realloc(NULL, 0);
    CHECK(nothing);
    free(nothing);
}

static void no_memory(void) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i];
        errno = 0;
        CHECK(malloc(size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(calloc(size, 1) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(aligned_alloc(64, size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(memalign(64, size) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(valloc(size) == NULL && errno == ENOMEM);
        void *place = &place;
        CHECK(posix_memalign(&place, 64, size) == ENOMEM && place == &place);
    }
#if GLIBC
    errno = 0;
    CHECK(pvalloc(SIZE_MAX) == NULL && errno == ENOMEM);
#endif
    errno = 0;
    CHECK(calloc(SIZE_MAX / 2, 3) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc((size_t)1 << 32, (size_t)1 << 32) == NULL && errno == ENOMEM);
}

static void alignments(void) {
    size_t page = sysconf(_SC_PAGESIZE);
    for (size_t align = sizeof(void *); align <= (size_t)1 << 22; align *= 2) {
        static const size_t sizes[] = {0, 1, 24, 100, 5000, 100000};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t size = sizes[i];
            void *blocks[3] = {NULL};
            CHECK(posix_memalign(&blocks[0], align, size) == 0);
            blocks[1] = aligned_alloc(align, size);
            blocks[2] = memalign(align, size);
            for (int j = 0; j < 3; j++) {
                CHECK(blocks[j] && aligned(blocks[j], align) && malloc_usable_size(blocks[j]) >= size);
                memset(blocks[j], j + 1, size);
            }
            for (int j = 0; j < 3; j++) CHECK(filled(blocks[j], j + 1, size));
            blocks[0] = realloc(blocks[0], size + 3000);
            CHECK(blocks[0] && filled(blocks[0], 1, size));
            for (int j = 0; j < 3; j++) free(blocks[j]);
        }
    }
    void *place = &place;
    static const size_t none[] = {0, 1, 2, 4, 3, 12, 24, 48, 100, SIZE_MAX, SIZE_MAX / 2};
    errno = 5;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CHECK(posix_memalign(&place, none[i], 8) == EINVAL && place == &place);
    CHECK(errno == 5);
    void *block = valloc(10);
    CHECK(block && aligned(block, page));
    free(block);
#if GLIBC
    block = pvalloc(10);
    CHECK(block && aligned(block, page) && malloc_usable_size(block) >= page);
    free(block);
    /* The next power of two. */
    block = memalign(48, 10);
    CHECK(block && aligned(block, 64));
    free(block);
    errno = 0;
    CHECK(memalign(SIZE_MAX, 1) == NULL && errno == EINVAL);
#endif
}

static void sized(void) {
    if (!free_sized || !free_aligned_sized) return;
    for (size_t size = 0; size < 200000; size = size * 3 / 2 + 1) {
        free_sized(malloc(size), size);
        free_sized(calloc(size, 1), size);
        free_sized(realloc(malloc(10), size + 1), size + 1);
        free_aligned_sized(aligned_alloc(256, size), 256, size);
    }
    free_sized(NULL, 0);
    free_aligned_sized(NULL, 64, 0);
}

/* Pages that are locked can't be given back: the system says so by `errno`, and the program doesn't see it. */
static void errno_stays(void) {
    for (size_t size = 16; size <= (size_t)64 << 20; size *= 4) {
        void *blocks[4];
        for (int i = 0; i < 4; i++) {
            blocks[i] = malloc(size);
            CHECK(blocks[i]);
            memset(blocks[i], 1, size);
        }
        errno = 77;
        for (int i = 0; i < 4; i++) free(blocks[i]);
        CHECK(errno == 77);
    }
}

static void *free_it(void *block) {
    free(block);
    return malloc(100);
}

static void threads(void) {
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *back;
        CHECK(pthread_create(&thread, NULL, free_it, malloc(100)) == 0);
        CHECK(pthread_join(thread, &back) == 0 && back);
        free(back);
    }
}

int main(void) {
    sizes();
    resizes();
    no_memory();
    alignments();
    sized();
    errno_stays();
    threads();
    return FAULTS;
}
