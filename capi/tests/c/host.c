/* Loads a plug-in from many files, so that the loader has to make room for thread-locals of threads that run; unloads
 * all, and again: host PLUGIN... */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20 };
static size_t (*uses[200])(size_t);
static int loaded;
static pthread_barrier_t barrier;

static void *work(void *argument) {
    size_t *sum = argument;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < loaded; i++) {
            free(malloc(10 + i));
            *sum += uses[i](100 + 1000 * i);
        }
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(int count, char **paths) {
    pthread_t threads[3];
    size_t sums[3] = {0};
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, work, &sums[i])) abort();
    for (int round = 0; round < ROUNDS; round++) {
        void *handles[200];
        loaded = 0;
        for (int i = 1; i < count; i++) {
            handles[loaded] = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);
            if (!handles[loaded]) {
                puts(dlerror());
                return 1;
            }
            uses[loaded] = (size_t (*)(size_t))dlsym(handles[loaded], "use");
            loaded++;
        }
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < loaded; i++) dlclose(handles[i]);
    }
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    printf("%zu %zu %zu\n", sums[0], sums[1], sums[2]);
    return 0;
}
