"""What the processor can do."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    static int fastnn_supports_v2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("sse3") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1")
            && __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    }
    static int fastnn_supports_v3(void) {
        /* __builtin_cpu_supports also asks the operating system whether it saves the wide registers */
        return fastnn_supports_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    }
    static int fastnn_supports_v4(void) {
        return fastnn_supports_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int fastnn_supports_v2(void) { return 0; }
    static int fastnn_supports_v3(void) { return 0; }
    static int fastnn_supports_v4(void) { return 0; }
    #endif
    """
    bint fastnn_supports_v2()
    bint fastnn_supports_v3()
    bint fastnn_supports_v4()


def supports(level):
    """Whether this processor runs code of the level "x86-64-v4", "x86-64-v3", "x86-64-v2" or "plain"."""
    if level == "x86-64-v4":
        return bool(fastnn_supports_v4())
    if level == "x86-64-v3":
        return bool(fastnn_supports_v3())
    if level == "x86-64-v2":
        return bool(fastnn_supports_v2())
    return level == "plain"
