/* malloc before main and after it: in constructors and destructors, in atexit, in destructors of thread-specific values,
 * of threads that end and of one that does not. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *kept[3];
static pthread_key_t keys[100];
static int destroyed;

static char *text(const char *what) {
    char *copy = strdup(what);
    return realloc(copy, 2000 + strlen(what));
}

__attribute__((constructor(101))) static void first(void) { kept[0] = text("the first constructor"); }
__attribute__((constructor)) static void later(void) { kept[1] = text("a later constructor"); }
__attribute__((destructor)) static void end(void) {
    puts(kept[2]);
    free(kept[2]);
    char *last = text("the destructor");
    puts(last);
    free(last);
}
__attribute__((destructor(101))) static void very_end(void) {
    for (int i = 0; i < 1000; i++) free(malloc(i * 100));
    puts("the last destructor");
}

static void at_exit(void) {
    kept[2] = text("atexit");
    free(kept[0]);
    free(kept[1]);
}

static void destroy(void *value) {
    free(value);
    free(malloc(300));
    destroyed++;
}

static void again(void *value) {
    static __thread int rounds;
    free(value);
    if (rounds++ < 3) pthread_setspecific(keys[99], malloc(1000));
}

static void *thread(void *argument) {
    for (int i = 0; i < 99; i++) pthread_setspecific(keys[i], malloc(50 + i));
    pthread_setspecific(keys[99], malloc(10));
    return argument;
}

int main(void) {
    atexit(at_exit);
    for (int i = 0; i < 99; i++)
        if (pthread_key_create(&keys[i], destroy)) abort();
    if (pthread_key_create(&keys[99], again)) abort();
    for (int i = 0; i < 20; i++) {
        pthread_t one;
        if (pthread_create(&one, NULL, thread, NULL) || pthread_join(one, NULL)) abort();
    }
    pthread_t stays;
    if (pthread_create(&stays, NULL, thread, NULL) || pthread_detach(stays)) abort();
    puts(kept[0]);
    puts(kept[1]);
    printf("%s\n", destroyed >= 20 * 99 ? "all values were destroyed" : "some values are left");
    return 0;
}
