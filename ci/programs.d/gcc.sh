#!/bin/sh
# Compiles, links and runs a program with threads, from one and from several sources.
set -eu
cd "$(mktemp -d)"
cat >sum.h <<'C'
long sum(const long *numbers, int count);
C
cat >sum.c <<'C'
#include "sum.h"
long sum(const long *numbers, int count)
{
    long total = 0;
    for (int i = 0; i < count; i++)
        total += numbers[i];
    return total;
}
C
cat >main.c <<'C'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include "sum.h"
static long results[4];
static void *work(void *arg)
{
    long *result = arg;
    for (long i = 0; i < 100000; i++)
        *result += i % 7;
    return NULL;
}
int main(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, work, &results[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("%ld %.6f\n", sum(results, 4), sqrt(2.0));
    return 0;
}
C
gcc -O2 -Wall -Werror -c sum.c
gcc -O2 -Wall -Werror -pthread -o program main.c sum.o -lm
./program
gcc -O1 -static -pthread -o static main.c sum.c -lm
./static
