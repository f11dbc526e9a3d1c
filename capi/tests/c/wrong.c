/* Four wrong releases. The allocator refuses them, so the program gets to its end. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *volatile kept;

__attribute__((noinline)) void free_twice(void) {
    char *block = malloc(100);
    free(block);
    free(block);
}
__attribute__((noinline)) void free_inside(void) {
    kept = malloc(1000);
    free(kept + 16);
}
__attribute__((noinline)) void free_foreign(void) {
    char own[64];
    char *volatile place = own;
    free(place);
}
__attribute__((noinline)) void resize_freed(void) {
    char *block = malloc(3000);
    free(block);
    if (realloc(block, 4000)) abort();
}

int main(void) {
    free_twice();
    free_inside();
    free_foreign();
    resize_freed();
    return write(1, "the end\n", 8) != 8;
}
