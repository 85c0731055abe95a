/* Nanoseconds of a clock that never goes back. */
#ifndef FASTNN_CLOCK_H
#define FASTNN_CLOCK_H

#ifdef _WIN32

#include <windows.h>

static long long fastnn_now(void)
{
    LARGE_INTEGER ticks, a_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&a_second);
    return (long long)(1e9 * (double)ticks.QuadPart / (double)a_second.QuadPart);
}

#else

#include <time.h>

static long long fastnn_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

#endif
#endif
