// A pool behind a C++ allocator: a vector and a map whose memory is one array. What does not fit throws.
//
//     c++ -std=c++17 pool.cpp $(pkg-config --cflags --libs heapmaster) -o pool
#include <heapmaster.h>

#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

struct FreePool {
    void operator()(hm_pool *pool) const { hm_pool_free(pool); }
};
using Pool = std::unique_ptr<hm_pool, FreePool>;

// An allocator of the standard library. The pool outlives it.
template <class T> struct In {
    using value_type = T;
    hm_pool *pool;
    explicit In(hm_pool *pool) : pool(pool) {}
    template <class U> In(const In<U> &other) : pool(other.pool) {}
    T *allocate(std::size_t count) {
        if (void *block = hm_pool_alloc_aligned(pool, alignof(T), count * sizeof(T))) return static_cast<T *>(block);
        throw std::bad_alloc();
    }
    void deallocate(T *block, std::size_t) {
        if (hm_pool_release(pool, block) != HM_OK) std::abort();
    }
    template <class U> bool operator==(const In<U> &other) const { return pool == other.pool; }
    template <class U> bool operator!=(const In<U> &other) const { return pool != other.pool; }
};

int main() {
    alignas(4096) static char region[1 << 20];
    hm_pool *made = nullptr;
    if (hm_pool_new(nullptr, &made) != HM_OK) return 1;
    Pool pool(made);
    if (hm_pool_add_region(pool.get(), region, sizeof region, nullptr) != HM_OK) return 1;
    bool thrown = false;
    {
        std::vector<int, In<int>> numbers{In<int>(pool.get())};
        for (int i = 0; i < 10000; i++) numbers.push_back(i);
        using Entry = std::pair<const int, int>;
        std::map<int, int, std::less<int>, In<Entry>> squares{In<Entry>(pool.get())};
        for (int i = 0; i < 1000; i++) squares[i] = i * i;
        std::cout << "the last square is " << squares.rbegin()->second << "\n";
        try {
            numbers.resize(1 << 20);
        } catch (const std::bad_alloc &) {
            thrown = true;
            std::cout << "4 MiB don't fit\n";
        }
    }
    hm_pool_figures figures;
    hm_pool_stats(pool.get(), &figures);
    std::cout << figures.live << " bytes are live at the end\n";
    return thrown && figures.live == 0 ? 0 : 1;
}
