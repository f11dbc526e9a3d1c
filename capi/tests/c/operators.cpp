// C++'s operators: sizes, alignments, handlers and exceptions. It passes with the system's, too.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

struct alignas(256) Wide {
    char bytes[300];
};

static const std::size_t TOO_MANY = std::numeric_limits<std::size_t>::max() / 2 - 100;
static int calls;

static bool aligned(const void *block, std::size_t align) { return reinterpret_cast<std::uintptr_t>(block) % align == 0; }

template <class F> static bool throws(F f) {
    try {
        f();
        return false;
    } catch (const std::bad_alloc &) {
        return true;
    }
}

static void forms() {
    for (std::size_t size : {0, 1, 16, 100, 5000, 100000}) {
        void *one = ::operator new(size), *two = ::operator new[](size);
        CHECK(one && two && one != two && aligned(one, 16) && aligned(two, 16));
        std::memset(one, 1, size);
        ::operator delete(one);
        ::operator delete[](two, size);
        one = ::operator new(size, std::nothrow), two = ::operator new[](size, std::nothrow);
        CHECK(one && two);
        ::operator delete(one, std::nothrow);
        ::operator delete[](two, std::nothrow);
        for (std::size_t align = 1; align <= 1 << 16; align *= 2) {
            auto by = std::align_val_t(align);
            one = ::operator new(size, by), two = ::operator new[](size, by);
            void *three = ::operator new(size, by, std::nothrow), *four = ::operator new[](size, by, std::nothrow);
            CHECK(aligned(one, align) && aligned(two, align) && aligned(three, align) && aligned(four, align));
            ::operator delete(one, by);
            ::operator delete[](two, size, by);
            ::operator delete(three, by, std::nothrow);
            ::operator delete[](four, size, by);
        }
    }
    ::operator delete(nullptr);
    ::operator delete(nullptr, std::size_t(5));
    std::unique_ptr<Wide> wide(new Wide);
    std::unique_ptr<Wide[]> wides(new Wide[10]);
    CHECK(aligned(wide.get(), 256) && aligned(wides.get(), 256));
}

static void no_memory() {
    CHECK(throws([] { ::operator delete(::operator new(TOO_MANY)); }));
    CHECK(throws([] { ::operator delete[](::operator new[](TOO_MANY)); }));
    CHECK(throws([] { ::operator delete(::operator new(TOO_MANY, std::align_val_t(64)), std::align_val_t(64)); }));
    CHECK(::operator new(TOO_MANY, std::nothrow) == nullptr);
    CHECK(::operator new[](TOO_MANY, std::align_val_t(64), std::nothrow) == nullptr);
    CHECK(throws([] { std::vector<char> vector(TOO_MANY); }));
    // A handler is asked until it gives up.
    calls = 0;
    std::set_new_handler([] {
        if (++calls == 3) std::set_new_handler(nullptr);
    });
    CHECK(throws([] { ::operator delete(::operator new(TOO_MANY)); }) && calls == 3);
    calls = 0;
    std::set_new_handler([] {
        if (++calls == 3) std::set_new_handler(nullptr);
    });
    CHECK(::operator new(TOO_MANY, std::nothrow) == nullptr && calls == 3);
    // A handler may throw. The forms that don't throw return null then.
    std::set_new_handler([] { throw std::bad_alloc(); });
    CHECK(throws([] { ::operator delete(::operator new(TOO_MANY)); }));
    CHECK(::operator new(TOO_MANY, std::nothrow) == nullptr);
    CHECK(::operator new[](TOO_MANY, std::nothrow) == nullptr);
    CHECK(::operator new(TOO_MANY, std::align_val_t(64), std::nothrow) == nullptr);
    std::set_new_handler(nullptr);
}

static void library() {
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 20000; i++) map[std::to_string(i % 1000)].push_back(i);
    long sum = 0;
    for (auto &entry : map)
        for (int number : entry.second) sum += number;
    CHECK(sum == 20000L * 19999 / 2);
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([] { std::string(10000, 'x').append("y"); });
    for (auto &thread : threads) thread.join();
}

int main() {
    forms();
    no_memory();
    library();
    return FAULTS;
}
