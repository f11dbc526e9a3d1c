/* 64 threads that allocate, hand over, and release what others allocated; the sum says that nobody lost a byte. With an
 * argument, the process forks in the middle of it, and the child goes on alone and with threads of its own. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 64, PLACES = 512, ROUNDS = 4000 };
static _Atomic(unsigned char *) places[PLACES];
static atomic_ulong made, seen;
static atomic_int ended;

static void take(unsigned char *block) {
    if (!block) return;
    unsigned size = block[0] + 256u * block[1];
    if (block[size - 1] != (unsigned char)(size * 7)) abort();
    atomic_fetch_add(&seen, size);
    free(block);
}

static void *churn(void *argument) {
    unsigned random = (unsigned)(size_t)argument * 2654435761u + 1;
    for (int i = 0; i < ROUNDS; i++) {
        random = random * 1664525u + 1013904223u;
        unsigned size = 3 + (random >> 8) % (i % 50 ? 300 : 20000);
        unsigned char *block = i % 3 ? malloc(size) : calloc(1, size);
        if (i % 7 == 0) block = realloc(block, size = size / 2 + 3);
        block[0] = size % 256, block[1] = size / 256, block[size - 1] = (unsigned char)(size * 7);
        if (size <= 3) block[2] = (unsigned char)(size * 7);
        atomic_fetch_add(&made, size);
        take(atomic_exchange(&places[random % PLACES], block));
    }
    return NULL;
}

static void run(int count) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < (size_t)count; i++)
        if (pthread_create(&threads[i], NULL, churn, (void *)(i + 1))) abort();
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static void *rest(void *argument) {
    while (!atomic_load(&ended)) churn(argument);
    return NULL;
}

int main(int count, char **arguments) {
    (void)arguments;
    if (count > 1) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, rest, (void *)1000)) abort();
        for (int i = 0; i < 20; i++) {
            churn((void *)(size_t)(2000 + i));
            pid_t child = fork();
            if (child == 0) {
                alarm(100);
                churn((void *)7);
                run(4);
                _exit(17);
            }
            int status;
            if (waitpid(child, &status, 0) != child || status != 17 << 8) {
                printf("a child ended with %x\n", status);
                return 1;
            }
        }
        atomic_store(&ended, 1);
        pthread_join(thread, NULL);
    }
    run(THREADS);
    for (int i = 0; i < PLACES; i++) take(atomic_exchange(&places[i], NULL));
    puts(atomic_load(&made) == atomic_load(&seen) ? "every byte came back" : "bytes were lost");
    return 0;
}
