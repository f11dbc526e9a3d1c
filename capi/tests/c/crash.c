/* Allocates, resizes and frees blocks of sizes that nobody else has, in three threads, and is killed in the middle. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCKS = 10000 };

static void *work(void *argument) {
    (void)argument;
    for (int i = 0; i < BLOCKS; i++) {
        void *one = malloc(7771), *two = calloc(7, 1111), *three = aligned_alloc(512, 7168);
        one = realloc(one, 33331);
        if (!one || !two || !three) abort();
        free(one);
        free(three);
        if (i % 10) free(two);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, work, NULL)) abort();
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    if (!malloc(99991)) abort();
    kill(getpid(), SIGKILL);
    return 0;
}
