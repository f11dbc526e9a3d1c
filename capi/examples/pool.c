/* A pool over a static array: blocks, a wrong release, figures, and a picture.
 *
 *     cc pool.c $(pkg-config --cflags --libs heapmaster) -o pool
 */
#include <heapmaster.h>
#include <stdio.h>
#include <stdlib.h>

static _Alignas(1 << 16) char region[1 << 16];

static void expect(hm_status status, hm_status expected, const char *what) {
    printf("%s: %s\n", what, hm_status_text(status));
    if (status != expected) exit(1);
}

static bool count_live(const hm_block *block, void *live) {
    *(size_t *)live += block->state == HM_LIVE ? block->size : 0;
    return true;
}

int main(void) {
    hm_pool *pool;
    hm_pool_options options = {.min_block = 32};
    expect(hm_pool_new(&options, &pool), HM_OK, "a pool");
    uint64_t number;
    expect(hm_pool_add_region(pool, region, sizeof region, &number), HM_OK, "a region");
    expect(hm_pool_add_region(pool, region + 100, 1000, NULL), HM_OVERLAP, "a part of it once more");

    char *block = hm_pool_alloc(pool, 1000);
    if (!block) return 1;
    snprintf(block, 1000, "a block of %zu bytes", hm_pool_block_size(pool, block));
    puts(block);
    expect(hm_pool_remove_region(pool, number), HM_IN_USE, "the region removed too early");
    expect(hm_pool_release(pool, block + 8), HM_INTERIOR, "an address inside the block released");
    size_t live = 0;
    hm_pool_for_each_block(pool, count_live, &live);
    printf("%zu bytes are live\n", live);
    char map[4096];
    if (hm_pool_map_text(pool, 64, 4, map, sizeof map) < sizeof map) puts(map);
    expect(hm_pool_release(pool, block), HM_OK, "the block released");
    expect(hm_pool_release(pool, block), HM_NOT_LIVE, "once more");

    hm_pool_figures figures;
    hm_pool_stats(pool, &figures);
    printf("%llu allocations, %zu bytes live of %zu\n", (unsigned long long)figures.allocations, figures.live,
           figures.capacity);
    hm_pool_flush_thread_cache(pool);
    hm_pool_sweep(pool);
    printf("the largest free block has %zu bytes\n", hm_pool_largest_free(pool));
    expect(hm_pool_remove_region(pool, number), HM_OK, "the region removed");
    hm_pool_free(pool);
    return 0;
}
