"""When helper threads are woken, how long they look out for work, and that none is lost: pool.h, compiled by itself.

What depends on time runs on a clock of the test's own.
"""
import subprocess

import pytest

from helpers import HANG
from test_forks import compiled
from test_threads import needs_threads

pytestmark = needs_threads

CLOCK = """
#define _GNU_SOURCE
#include <stdio.h>
#define FASTNN_CLOCK_H
static long long now, step = 1, ends_at = -1;
static int looks, yields;
static void pass(void);
static long long fastnn_now(void) { looks++; pass(); return now; }
static int give_way(void) { yields++; pass(); return 0; }
#include <sched.h>
#define sched_yield give_way
#include "pool.h"
static void pass(void)              /* at each look and each yield; at `ends_at` a helper ends its part */
{
    now += step;
    if (ends_at >= 0 && now >= ends_at)
        atomic_store(&fastnn_pool.active, 0);
}
static void have(int helpers, int awake)
{
    fastnn_pool.helpers = helpers;
    atomic_store(&fastnn_pool.sleeping, helpers - awake);
}
/* Calls of `us` each, with `gap` us between them: the helpers that the first `count` have. */
static void loop(double us, double gap, int most, int count)
{
    now += 1000000000;
    while (count--) {
        printf("%d ", fastnn_pool_worth(now, (long long)(1000 * us), most));
        now += (long long)(1000 * (us + gap));
    }
    puts("");
}
"""


@pytest.fixture
def says(tmp_path):
    """What the body of a program's main prints, line by line."""
    def run(code, before=CLOCK):
        program = compiled(f"{before}\nint main(void)\n{{\n{code}\nreturn 0;\n}}\n", tmp_path/"pool", "-pthread")
        done = subprocess.run([program], capture_output=True, text=True, timeout=HANG)
        assert (done.returncode, done.stderr) == (0, "")
        return [line.split() for line in done.stdout.splitlines()]
    return run


def test_a_helper_that_sleeps_is_woken_for_a_long_call_or_for_several(says):
    assert says("""
    have(1, 0);
    loop(99, 0, 1, 1);          /* a single call is worth 100 us */
    loop(100, 0, 1, 1);
    loop(90, 1, 1, 3);          /* several that follow each other are worth it together */
    loop(30, 1, 1, 4);
    loop(45, 60, 1, 4);         /* also with other work between them, which takes at most twice as long */
    loop(45, 91, 1, 6);
    loop(16, 60, 1, 6);
    """) == [["0"], ["1"], list("011"), list("0111"), list("0111"), list("000000"), list("000000")]


def test_a_helper_that_is_awake_takes_part_in_anything_longer_than_5_us(says):
    assert says("""
    have(1, 1);
    loop(4.9, 300, 1, 3);
    loop(5, 300, 1, 3);
    """) == [list("000"), list("111")]


def test_as_many_as_the_work_is_worth(says):
    """... of 15 that sleep, or that are awake: one for each 5 us, and no more than were asked for."""
    assert says("""
    have(15, 0);
    loop(100, 0, 15, 1);
    loop(200, 0, 15, 1);
    loop(1000, 0, 15, 1);
    loop(1e9, 0, 3, 1);
    loop(60, 1, 15, 8);
    have(15, 15);
    loop(7, 1, 15, 1);
    loop(64, 1, 15, 1);
    loop(64, 1, 3, 1);
    loop(1e6, 1, 100000, 1);
    """) == [["1"], ["5"], ["15"], ["3"], ["0", "3", "6", "8", "10", "12", "12", "12"],
             ["1"], ["12"], ["3"], ["255"]]


def test_how_long_a_helper_looks_out(says):
    """40 us; where the job before came later, for twice that time, at most 200 us; and it sleeps after that."""
    rows = says("""
    long long gaps[] = {0, 19000, 30000, 60000, 150000, 200001, 1000000000};
    size_t i;
    step = 100;
    for (i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        looks = yields = 0;
        printf("%d ", fastnn_pool_look_out(0, now, fastnn_pool_idle(gaps[i])));
        printf("%d %d\\n", looks, yields);
    }
    """)
    assert [row[0] for row in rows] == ["0"]*7
    for (_, looks, yields), us in zip(rows, [40, 40, 60, 120, 200, 40, 40]):
        assert abs(int(yields) - (us - 10)*5) <= 3              # from the tenth us on, 100 ns each, as a look is
        assert abs(int(looks) - 100 - int(yields)) <= 3


def test_a_helper_gets_out_of_the_way(says):
    """A look that took so long that somebody else had the processor is the last one."""
    assert says("""
    step = 10001;
    printf("%d ", fastnn_pool_look_out(0, now, FASTNN_LONGEST_IDLE));
    printf("%d\\n", looks);
    """) == [["0", "2"]]


def test_the_caller_works_alone_after_a_long_wait(says):
    """... for four times as long as it waited, and twice as long each time that soon happens again."""
    assert says("""
    long long waits[] = {1000, 1000, 1000, 90, 1000, 400, 90000, 20}, began;          /* us */
    long long rests[] = {0, 0, 15000, 0, 0, 40000, 0, 0};             /* us, behind the time alone */
    size_t i;
    have(1, 1);
    fastnn_pool.parts = 8;
    step = 100;
    for (i = 0; i < sizeof waits / sizeof *waits; i++) {
        began = now = fastnn_pool.alone_until + 1000 * rests[i];
        now += 400000;                                  /* the caller's seven parts, 57 us each */
        ends_at = now + 1000 * waits[i];
        atomic_store(&fastnn_pool.active, 1);
        fastnn_pool_wait(began, 7, NULL);
        printf("%.1f ", 1e-6 * (double)(fastnn_pool.alone_until > now ? fastnn_pool.alone_for : 0));
        printf("%d\\n", fastnn_pool_worth(now, 1000000, 1));
    }
    """) == [["4.0", "0"], ["8.0", "0"], ["4.0", "0"], ["0.0", "1"], ["8.0", "0"], ["1.6", "0"], ["250.0", "0"],
             ["0.0", "1"]]


REAL = """
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "pool.h"
enum { N = 4000 };
static unsigned char done[N];
static void count(const void *work, ptrdiff_t start, ptrdiff_t stop)
{
    (void)work;
    for (; start < stop; start++)
        done[start]++;
}
static void until_all_sleep(void)
{
    do
        usleep(1000);
    while (atomic_load(&fastnn_pool.sleeping) < fastnn_pool.helpers);
}
"""


def test_every_part_is_done_once_and_everybody_sleeps_again(says):
    assert says("""
    int i, k, wrong = 0;
    for (k = 1; k <= 3000; k++) {
        fastnn_pool_run(count, NULL, 0, N, 1, 1 + rand() % 5, 1000, NULL);
        for (i = 0; i < N; i++)
            wrong += done[i] != k % 256;
        if (k % 100 == 0)
            until_all_sleep();
    }
    printf("%d %d %d\\n", fastnn_pool.helpers, wrong, atomic_load(&fastnn_pool.active));
    for (k = 0; k < 20; k++) {
        fastnn_pool_call(1 + k % 5);
        until_all_sleep();
    }
    printf("%d\\n", fastnn_pool.called);
    """, REAL) == [["5", "0", "0"], ["0"]]


def test_a_helper_moves_away_from_the_callers_processor(says):
    """... and may run on as many processors as before."""
    (can_move, moved, as_before), = says("""
    cpu_set_t all, one, after;
    int here, i, can_move = 0, moved = 0;
    sched_getaffinity(0, sizeof all, &all);
    for (i = 0; i < CPU_SETSIZE && CPU_COUNT(&all) > 1; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_ZERO(&one);
            CPU_SET(i, &one);
            can_move = sched_setaffinity(0, sizeof one, &one) == 0 && sched_getcpu() == i;
        }
    sched_setaffinity(0, sizeof all, &all);
    for (i = 0; i < 100; i++) {
        here = sched_getcpu();
        atomic_store(&fastnn_pool.processor, here);
        fastnn_pool_move();
        moved += sched_getcpu() != here;
    }
    sched_getaffinity(0, sizeof after, &after);
    printf("%d %d %d\\n", can_move, moved > 0, CPU_EQUAL(&all, &after));
    """, "#ifndef __linux__\n#error\n#endif\n" + REAL)
    assert (moved, as_before) == (can_move, "1")
