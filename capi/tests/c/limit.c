/* How many MiB malloc hands out before it says no, up to 1 000. It writes without stdio, which may allocate. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    int count = 0;
    while (count < 1000 && malloc(1 << 20)) count++;
    if (count < 1000 && errno != ENOMEM) return 1;
    char text[8];
    int digits = 0;
    for (int rest = count; rest || !digits; rest /= 10) text[sizeof text - 2 - digits++] = '0' + rest % 10;
    text[sizeof text - 1] = '\n';
    return write(1, text + sizeof text - 1 - digits, digits + 1) != digits + 1;
}
