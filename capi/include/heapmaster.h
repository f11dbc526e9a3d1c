/* heapmaster: pools of memory, and malloc.
 *
 * Written by cbindgen from capi/src; `cargo test -p heapmaster-capi --test header` says whether it is current.
 * malloc and its family are declared where the C library declares them. heapmaster(3), hm_pool(3)
 * and hm_offset(3) have more.
 */


#ifndef HEAPMASTER_H
#define HEAPMASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What became of a call.
typedef enum hm_status {
  // All is well.
  HM_OK = 0,
  // An argument can't be: null, no power of two, 0 bytes, or a range that ends behind all addresses or offsets.
  HM_INVALID,
  // The address or offset is in none of the pool's regions.
  HM_FOREIGN,
  // It is inside a live block, not at its beginning.
  HM_INTERIOR,
  // No live block is there: it was released already, or never handed out.
  HM_NOT_LIVE,
  // The region overlaps another one of the pool.
  HM_OVERLAP,
  // The region has no room for a block.
  HM_TOO_SMALL,
  // The region has more blocks than one can have. It may be added in parts.
  HM_TOO_LARGE,
  // There is no memory for the pool's own tables.
  HM_NO_MEMORY,
  // The pool has no such region.
  HM_UNKNOWN_REGION,
  // Some of it is live or cached, or another thread is removing the region.
  HM_IN_USE,
  // The block can't grow where it is.
  HM_NO_ROOM,
  // No range has such a block, or it is not free.
  HM_NO_BLOCK,
} hm_status;

// The state of a block in a map.
typedef enum hm_state {
  // Nobody has it.
  HM_FREE = 0,
  // The cache of a thread has it.
  HM_CACHED,
  // The program has it.
  HM_LIVE,
  // A thread is splitting or merging it.
  HM_IN_TRANSIT,
} hm_state;

// A pool of ranges of offsets: device memory, registered memory, a file. All functions may be called by any thread at
// any time, but `hm_offset_free`. The pool of a call is not null, but `hm_offset_free`'s.
typedef struct hm_offset_pool hm_offset_pool;

// A pool of regions that the program owns. All functions may be called by any thread at any time, but
// `hm_pool_free`. No function reads or writes a region, but `hm_pool_resize`. The pool of a call is not null, but
// `hm_pool_free`'s.
typedef struct hm_pool hm_pool;

// The figures of `malloc`, in bytes.
typedef struct hm_malloc_figures {
  // What of the heap may be in use at once.
  size_t limit;
  // What it has grown to.
  size_t heap;
  // What of it, and of its tables, is in memory.
  size_t resident;
  // What of the heap is free.
  size_t free;
  // What of that is in slabs that nobody uses.
  size_t idle;
  // What the tables have.
  size_t metadata;
  // How many caches of threads there are.
  size_t caches;
  // How many releases were refused, because no block was there.
  uint64_t refused_releases;
} hm_malloc_figures;

// How a pool is. 0 is the default of each.
typedef struct hm_pool_options {
  // Bytes of the smallest block, a power of two, at least 16. The default is 64.
  size_t min_block;
  // Bytes of the largest block, a power of two. By default there is no limit.
  size_t max_block;
  // Bytes that the cache of each thread may hold. By default that depends on the pool's size. `SIZE_MAX`: none.
  size_t thread_cache;
  // Eight sizes of blocks from one power of two to the next. The default is powers of two only.
  bool eighths;
} hm_pool_options;

// The figures of a pool.
typedef struct hm_pool_figures {
  // Number of regions.
  size_t regions;
  // Bytes in blocks, of whatever state.
  size_t capacity;
  // Bytes of blocks with the program.
  size_t live;
  // Bytes of blocks in the caches of threads.
  size_t cached;
  // Bytes of free blocks.
  size_t free;
  // Bytes of blocks that some thread was splitting, merging or resizing.
  size_t in_transit;
  // The largest block in bytes that merging forms of what is free now.
  size_t largest_free;
  // The largest block in bytes that a region forms when all of it is free.
  size_t largest_possible;
  // Number of caches of threads.
  size_t caches;
  // Bytes of the caches themselves.
  size_t cache_tables;
  // Blocks handed out.
  uint64_t allocations;
  // Blocks taken back.
  uint64_t releases;
  // Allocations that failed.
  uint64_t failures;
  // Sweeps.
  uint64_t sweeps;
  // Pairs of blocks that were merged.
  uint64_t merges;
} hm_pool_figures;

// A block in a map.
typedef struct hm_block {
  // Its region.
  uint64_t region;
  // Bytes from the beginning of the region to it.
  size_t offset;
  // Its bytes.
  size_t size;
  // Its state.
  enum hm_state state;
} hm_block;

// How a pool of offsets is. 0 is the default of each.
typedef struct hm_offset_options {
  // Bytes of the smallest block, a power of two, at least 16. The default is 4096. Tables have 49 bits for each.
  uint64_t min_block;
  // Bytes of the largest block, a power of two. By default there is no limit.
  uint64_t max_block;
  // Bytes that the cache of each thread may hold. By default that depends on the pool's size. `UINT64_MAX`: none.
  uint64_t thread_cache;
  // Eight sizes of blocks from one power of two to the next. The default is powers of two only.
  bool eighths;
} hm_offset_options;

// A range of a pool of offsets.
typedef struct hm_offset_range {
  // Its number.
  uint64_t range;
  // The offset of its first block.
  uint64_t start;
  // Bytes in blocks.
  uint64_t len;
  // The word that it was added with.
  uint64_t word;
} hm_offset_range;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Writes the figures of `malloc` to `stats`. O(pages).
//
// # Safety
//
// `stats` may be written.
void hm_malloc_stats(struct hm_malloc_figures *stats);

// Gives back what `malloc` has cached within reach, makes whole pages of what is free, and gives the memory behind
// them back to the system. Returns how many bytes of it were in memory. O(pages).
size_t hm_malloc_trim(void);

// A sentence about a status. It is never null, and lives for ever. A number that is no status is one, too.
const char *hm_status_text(int status);

// Makes a pool without regions, and writes it to `place`. `options` may be null.
//
// # Safety
//
// `place` may be written, and `options` is null or may be read.
enum hm_status hm_pool_new(const struct hm_pool_options *options, struct hm_pool **place);

// Frees a pool. Its regions are the program's, whatever was live in them. Null is nothing.
//
// # Safety
//
// `pool` is null, or came from `hm_pool_new`, and nobody uses it any more.
void hm_pool_free(struct hm_pool *pool);

// Adds a region of any base and size, and writes its number to `region`, unless that is null.
//
// # Safety
//
// The pool is one; `region` is null or may be written.
enum hm_status hm_pool_add_region(const struct hm_pool *pool,
                                  void *base,
                                  size_t size,
                                  uint64_t *region);

// Removes a region, all of which is free. Its memory is the program's again.
//
// # Safety
//
// The pool is one.
enum hm_status hm_pool_remove_region(const struct hm_pool *pool, uint64_t region);

// Allocates a block of at least `size` bytes. It is aligned to the largest power of two that divides its size. Null
// when there is none, or for 0 bytes.
//
// # Safety
//
// The pool is one.
void *hm_pool_alloc(const struct hm_pool *pool,
                    size_t size);

// The same, aligned to `align`, a power of two.
//
// # Safety
//
// The pool is one.
void *hm_pool_alloc_aligned(const struct hm_pool *pool, size_t align, size_t size);

// The same, of one region.
//
// # Safety
//
// The pool is one.
void *hm_pool_alloc_in(const struct hm_pool *pool, uint64_t region, size_t align, size_t size);

// Releases a block. Null is nothing, and `HM_OK`. A wrong address changes nothing, and is `HM_FOREIGN`,
// `HM_INTERIOR` or `HM_NOT_LIVE`, also when threads race.
//
// # Safety
//
// The pool is one.
enum hm_status hm_pool_release(const struct hm_pool *pool,
                               void *block);

// Gives a block another size, in place, or elsewhere with its contents; as C's `realloc`. Null when there is none;
// then the block is as it was.
//
// # Safety
//
// The pool is one; the block is null, or the memory behind it may be read and written.
void *hm_pool_resize(const struct hm_pool *pool,
                     void *block,
                     size_t size);

// Gives a block another size where it is. The bytes that it has then are written to `now`, unless that is null.
//
// # Safety
//
// The pool is one; `now` is null or may be written.
enum hm_status hm_pool_resize_in_place(const struct hm_pool *pool,
                                       void *block,
                                       size_t size,
                                       size_t *now);

// Bytes of a live block; 0 if none is at the address.
//
// # Safety
//
// The pool is one.
size_t hm_pool_block_size(const struct hm_pool *pool, void *block);

// The region in which an address lies is written to `region`. False: it lies in none.
//
// # Safety
//
// The pool is one; `region` may be written.
bool hm_pool_region_of(const struct hm_pool *pool, void *address, uint64_t *region);

// Gives back what the calling thread has cached.
//
// # Safety
//
// The pool is one.
void hm_pool_flush_thread_cache(const struct hm_pool *pool);

// Merges all free blocks, and returns how many pairs there were.
//
// # Safety
//
// The pool is one.
uint64_t hm_pool_sweep(const struct hm_pool *pool);

// The largest block in bytes that merging forms of what is free now.
//
// # Safety
//
// The pool is one.
size_t hm_pool_largest_free(const struct hm_pool *pool);

// Writes the figures of the pool to `stats`. O(blocks).
//
// # Safety
//
// The pool is one; `stats` may be written.
void hm_pool_stats(const struct hm_pool *pool, struct hm_pool_figures *stats);

// Calls `visit` with each block, region by region, until it returns false.
//
// # Safety
//
// The pool is one; `visit` may be called with `argument`, and does not free the pool.
void hm_pool_for_each_block(const struct hm_pool *pool,
                            bool (*visit)(const struct hm_block *block, void *argument),
                            void *argument);

// Writes the figures of the pool as text, as `snprintf` does: `room` bytes at most, with a 0 at the end. Returns
// how many bytes the whole text has, without that 0.
//
// # Safety
//
// The pool is one; `room` bytes may be written at `buffer`, which may be null if `room` is 0.
size_t hm_pool_stats_text(const struct hm_pool *pool,
                          char *buffer,
                          size_t room);

// Draws the regions in characters, in at most `columns` columns and `rows` rows; else as `hm_pool_stats_text`.
//
// # Safety
//
// As `hm_pool_stats_text`.
size_t hm_pool_map_text(const struct hm_pool *pool,
                        size_t columns,
                        size_t rows,
                        char *buffer,
                        size_t room);

// Draws the regions as a picture in SVG, with a title, which may be null; else as `hm_pool_stats_text`.
//
// # Safety
//
// As `hm_pool_stats_text`; the title is null or a text.
size_t hm_pool_map_svg(const struct hm_pool *pool,
                       const char *title,
                       char *buffer,
                       size_t room);

// Makes a pool without ranges, and writes it to `place`. `options` may be null.
//
// # Safety
//
// `place` may be written, and `options` is null or may be read.
enum hm_status hm_offset_new(const struct hm_offset_options *options,
                             struct hm_offset_pool **place);

// Frees a pool, whatever was live in it. Null is nothing.
//
// # Safety
//
// `pool` is null, or came from `hm_offset_new`, and nobody uses it any more.
void hm_offset_free(struct hm_offset_pool *pool);

// Adds the `len` bytes from offset `start` on, with a word of the program's own. Writes the number of the range to
// `range`, unless that is null.
//
// # Safety
//
// The pool is one; `range` is null or may be written.
enum hm_status hm_offset_add_range(const struct hm_offset_pool *pool,
                                   uint64_t start,
                                   uint64_t len,
                                   uint64_t word,
                                   uint64_t *range);

// Removes a range, all of which is free.
//
// # Safety
//
// The pool is one.
enum hm_status hm_offset_remove_range(const struct hm_offset_pool *pool, uint64_t range);

// Allocates a block of at least `len` bytes, and writes its offset to `offset`: a multiple of `align`, a power of two,
// and of the largest power of two that divides the block's size. `HM_NO_BLOCK` when there is none.
//
// # Safety
//
// The pool is one; `offset` may be written.
enum hm_status hm_offset_alloc(const struct hm_offset_pool *pool,
                               uint64_t len,
                               uint64_t align,
                               uint64_t *offset);

// The same, of one range.
//
// # Safety
//
// The pool is one; `offset` may be written.
enum hm_status hm_offset_alloc_in(const struct hm_offset_pool *pool,
                                  uint64_t range,
                                  uint64_t len,
                                  uint64_t align,
                                  uint64_t *offset);

// Takes `len` bytes from offset `start` on, to rebuild a pool from what is live. Writes how many blocks that are to
// `blocks`, unless that is null. It is one where a block for `len` bytes may begin at `start`. Else it is all smallest
// blocks that the bytes touch, as by `hm_offset_reserve_exact`. `HM_IN_USE` when they are not all free.
//
// # Safety
//
// The pool is one; `blocks` is null or may be written.
enum hm_status hm_offset_reserve_at(const struct hm_offset_pool *pool,
                                    uint64_t start,
                                    uint64_t len,
                                    uint64_t *blocks);

// Takes the smallest blocks in which these bytes lie, and no more. They are joined to the fewest powers of two, which
// follow each other, and each is released by its own offset.
//
// # Safety
//
// The pool is one; `blocks` is null or may be written.
enum hm_status hm_offset_reserve_exact(const struct hm_offset_pool *pool,
                                       uint64_t start,
                                       uint64_t len,
                                       uint64_t *blocks);

// Releases the block at an offset. A wrong offset changes nothing, and is `HM_FOREIGN`, `HM_INTERIOR` or
// `HM_NOT_LIVE`, also when threads race.
//
// # Safety
//
// The pool is one.
enum hm_status hm_offset_release(const struct hm_offset_pool *pool,
                                 uint64_t offset);

// Gives a block another size where it is. The bytes that it has then are written to `now`, unless that is null.
//
// # Safety
//
// The pool is one; `now` is null or may be written.
enum hm_status hm_offset_resize_in_place(const struct hm_offset_pool *pool,
                                         uint64_t offset,
                                         uint64_t len,
                                         uint64_t *now);

// Bytes of a live block; 0 if none is at the offset.
//
// # Safety
//
// The pool is one.
uint64_t hm_offset_block_size(const struct hm_offset_pool *pool, uint64_t offset);

// The range in which an offset lies is written to `range`. False: it lies in none.
//
// # Safety
//
// The pool is one; `range` may be written.
bool hm_offset_range_of(const struct hm_offset_pool *pool,
                        uint64_t offset,
                        struct hm_offset_range *range);

// Gives back what the calling thread has cached.
//
// # Safety
//
// The pool is one.
void hm_offset_flush_thread_cache(const struct hm_offset_pool *pool);

// Merges all free blocks, and returns how many pairs there were.
//
// # Safety
//
// The pool is one.
uint64_t hm_offset_sweep(const struct hm_offset_pool *pool);

// The largest block in bytes that the next allocation can have.
//
// # Safety
//
// The pool is one.
uint64_t hm_offset_largest_free(const struct hm_offset_pool *pool);

// Writes the figures of the pool to `stats`, in which a range is a region. O(blocks).
//
// # Safety
//
// The pool is one; `stats` may be written.
void hm_offset_stats(const struct hm_offset_pool *pool, struct hm_pool_figures *stats);

// Calls `visit` with each block, range by range, until it returns false. A block's offset counts from the start of its
// range.
//
// # Safety
//
// The pool is one; `visit` may be called with `argument`, and does not free the pool.
void hm_offset_for_each_block(const struct hm_offset_pool *pool,
                              bool (*visit)(const struct hm_block *block, void *argument),
                              void *argument);

// Writes the figures of the pool as text, as `hm_pool_stats_text`.
//
// # Safety
//
// The pool is one; `room` bytes may be written at `buffer`, which may be null if `room` is 0.
size_t hm_offset_stats_text(const struct hm_offset_pool *pool, char *buffer, size_t room);

// Draws the ranges in characters, as `hm_pool_map_text`.
//
// # Safety
//
// As `hm_offset_stats_text`.
size_t hm_offset_map_text(const struct hm_offset_pool *pool,
                          size_t columns,
                          size_t rows,
                          char *buffer,
                          size_t room);

// Draws the ranges as a picture in SVG, as `hm_pool_map_svg`.
//
// # Safety
//
// As `hm_offset_stats_text`; the title is null or a text.
size_t hm_offset_map_svg(const struct hm_offset_pool *pool,
                         const char *title,
                         char *buffer,
                         size_t room);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HEAPMASTER_H */
