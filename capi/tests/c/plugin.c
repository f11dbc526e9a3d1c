/* A plug-in: it has thread-locals, and allocates when it is loaded, used and unloaded. */
#include <stdlib.h>
#include <string.h>

static __thread char *own;
static char *kept;

__attribute__((constructor)) static void loaded(void) { kept = strdup("loaded"); }
__attribute__((destructor)) static void unloaded(void) {
    free(kept);
    free(malloc(5000));
}

size_t use(size_t size) {
    if (!own) own = malloc(100);
    memset(own, 1, 100);
    char *block = calloc(1, size);
    size_t sum = block[size - 1] + own[99] + strlen(kept);
    free(block);
    return sum;
}
