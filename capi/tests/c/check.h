/* A check that says where it failed; `main` returns FAULTS. */
#include <stdio.h>
static int FAULTS;
#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            FAULTS++; \
        } \
    } while (0)
