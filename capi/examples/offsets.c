/* A pool of offsets: two devices as one space, blocks by threads, and a pool that is rebuilt from what is live.
 *
 *     cc -pthread offsets.c $(pkg-config --cflags --libs heapmaster) -o offsets
 */
#include <heapmaster.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define GIB ((uint64_t)1 << 30)
#define FAR ((uint64_t)1 << 40)

static void expect(hm_status status, hm_status expected, const char *what) {
    printf("%s: %s\n", what, hm_status_text(status));
    if (status != expected) exit(1);
}

static hm_offset_pool *new_pool(void) {
    hm_offset_pool *pool;
    hm_offset_options options = {.min_block = 4096, .eighths = true};
    if (hm_offset_new(&options, &pool) || hm_offset_add_range(pool, 0, GIB, 7, NULL) ||
        hm_offset_add_range(pool, FAR, GIB, 8, NULL))
        exit(1);
    return pool;
}

static bool count_live(const hm_block *block, void *live) {
    *(size_t *)live += block->state == HM_LIVE ? block->size : 0;
    return true;
}

/* A thread has 16 blocks at once; no two blocks have one offset. */
static void *allocate(void *pool) {
    for (int round = 0; round < 2000; round++) {
        uint64_t blocks[16];
        for (int i = 0; i < 16; i++)
            if (hm_offset_alloc(pool, 5000 + 9000 * i, 1, &blocks[i])) return "no block";
        for (int i = 0; i < 16; i++)
            if (hm_offset_release(pool, blocks[i])) return "a block of somebody else";
    }
    hm_offset_flush_thread_cache(pool);
    return NULL;
}

int main(void) {
    hm_offset_pool *pool = new_pool();
    expect(hm_offset_add_range(pool, GIB - 4096, GIB, 9, NULL), HM_OVERLAP, "a part of a device once more");

    uint64_t tensor, small;
    expect(hm_offset_alloc(pool, 3120000, 256, &tensor), HM_OK, "a tensor");
    expect(hm_offset_alloc_in(pool, 1, 5000, 1 << 16, &small), HM_OK, "a block of the second device");
    expect(hm_offset_alloc_in(pool, 9, 5000, 1, &small), HM_UNKNOWN_REGION, "a block of no device");
    expect(hm_offset_alloc(pool, 2 * GIB, 1, &small), HM_NO_BLOCK, "a block that no device has");
    expect(hm_offset_alloc(pool, 5000, 3, &small), HM_INVALID, "an alignment of 3");
    hm_offset_range range;
    if (!hm_offset_range_of(pool, small, &range) || hm_offset_range_of(pool, GIB, &range)) return 1;
    printf("the block lies in the device of word %" PRIu64 ", from %" PRIu64 " on\n", range.word, small - range.start);
    printf("the tensor has %" PRIu64 " bytes\n", hm_offset_block_size(pool, tensor));
    expect(hm_offset_release(pool, tensor + 8), HM_INTERIOR, "an offset inside the tensor released");
    expect(hm_offset_remove_range(pool, 1), HM_IN_USE, "the second device removed too early");

    /* What another process finds in its journal. */
    hm_offset_pool *rebuilt = new_pool();
    uint64_t count, now;
    expect(hm_offset_reserve_at(rebuilt, tensor, 3120000, &count), HM_OK, "the tensor in a rebuilt pool");
    expect(hm_offset_reserve_at(rebuilt, small, 5000, NULL), HM_OK, "the small block");
    expect(hm_offset_reserve_at(rebuilt, small, 1, NULL), HM_IN_USE, "once more");
    expect(hm_offset_reserve_at(rebuilt, FAR + GIB, 1, NULL), HM_FOREIGN, "bytes behind the device");
    expect(hm_offset_resize_in_place(rebuilt, small, 4096, &now), HM_OK, "the small block made smaller");
    printf("%" PRIu64 " block, and %" PRIu64 " bytes\n", count, now);
    expect(hm_offset_reserve_exact(rebuilt, FAR + (1 << 24) + 4096, 3 * 4096, &count), HM_OK, "three smallest blocks");
    size_t live = 0;
    hm_offset_for_each_block(rebuilt, count_live, &live);
    printf("%" PRIu64 " blocks of a reservation; %zu bytes are live\n", count, live);
    char text[8192];
    if (hm_offset_map_text(rebuilt, 64, 4, text, sizeof text) < sizeof text) puts(text);
    if (hm_offset_map_svg(rebuilt, "two devices", NULL, 0) == 0) return 1;
    if (hm_offset_stats_text(rebuilt, text, sizeof text) >= sizeof text) return 1;
    hm_offset_free(rebuilt);

    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, allocate, pool)) return 1;
    for (int i = 0; i < 4; i++) {
        void *wrong;
        if (pthread_join(threads[i], &wrong) || wrong) {
            puts(wrong ? wrong : "no thread");
            return 1;
        }
    }
    expect(hm_offset_release(pool, tensor), HM_OK, "the tensor released");
    expect(hm_offset_release(pool, tensor), HM_NOT_LIVE, "once more");
    expect(hm_offset_release(pool, small), HM_OK, "the small block released");
    hm_offset_flush_thread_cache(pool);
    hm_offset_sweep(pool);
    hm_pool_figures figures;
    hm_offset_stats(pool, &figures);
    printf("%" PRIu64 " allocations, %zu bytes live; the largest free block has %" PRIu64 " bytes\n",
           figures.allocations, figures.live, hm_offset_largest_free(pool));
    expect(hm_offset_remove_range(pool, 1), HM_OK, "the second device removed");
    hm_offset_free(pool);
    return 0;
}
