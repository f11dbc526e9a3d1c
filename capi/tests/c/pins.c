/* Of 32 blocks one stays: it keeps the memory of the others. */
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <stdio.h>

enum { STAY = 4000, EACH = 32 };
static void *stays[STAY], *goes[STAY * EACH];

__attribute__((noinline)) void *session(void) { return malloc(200); }
__attribute__((noinline)) void *request(void) { return malloc(200); }
__attribute__((noinline)) void *table(void) { return calloc(1, 8 << 20); }

int main(int count, char **words) {
    void *whole = table();
    for (int i = 0; i < STAY; i++) {
        stays[i] = session();
        for (int j = 0; j < EACH; j++) goes[i * EACH + j] = request();
    }
    for (int i = 0; i < STAY * EACH; i++) free(goes[i]);
    /* A look comes by and by. */
    for (int i = 0; i < 100000; i++) free(request());
    if (count > 1 && strcmp(words[1], "killed") == 0) raise(SIGKILL);
    free(whole);
    puts("the end");
    return 0;
}
