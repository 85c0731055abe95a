# cython: cdivision=True
"""Branch-free scalar functions that a C compiler turns into SIMD when they are inlined into a loop.

One body serves float and double: where the two differ it is by the constants in an `if real is float`, decided at
compile time. Every literal is written `<real>1`, because a bare 1.0 is a C double and would widen the whole loop.
The polynomials come from tools/polynomials.py, which states the error of each.

`real` values that leave the normal range are kept scaled: `exp_scaled` returns 2^BIAS exp(x), so that a product with it
is rounded once, by the multiplication with `unscale` that ends the formula, also where the result is subnormal.
"""

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>

    /* 2^n for the integer in the low bits of k = n + 1.5 * 2^(mantissa bits) + exponent bias */
    static inline float fastnn_power_of_two_float(float k) {
        uint32_t bits; float t;
        memcpy(&bits, &k, sizeof bits); bits <<= 23; memcpy(&t, &bits, sizeof t);
        return t;
    }
    static inline double fastnn_power_of_two_double(double k) {
        uint64_t bits; double t;
        memcpy(&bits, &k, sizeof bits); bits <<= 52; memcpy(&t, &bits, sizeof t);
        return t;
    }

    /* x = 2^k m with m from sqrt(1/2) to sqrt(2): subtracting its bits moves the border of the exponent to sqrt(1/2) */
    static inline float fastnn_log_split_float(float x, float *m) {
        uint32_t bits, k; float f;
        memcpy(&bits, &x, sizeof bits); bits += 0x3f800000u - 0x3f3504f3u;
        k = (bits >> 23) | 0x4b000000u; bits = (bits & 0x7fffffu) + 0x3f3504f3u;
        memcpy(m, &bits, sizeof bits); memcpy(&f, &k, sizeof f);
        return f - (8388608.0f + 127.0f);
    }
    static inline double fastnn_log_split_double(double x, double *m) {
        uint64_t bits, k; double f;
        memcpy(&bits, &x, sizeof bits); bits += 0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull;
        k = (bits >> 52) | 0x4330000000000000ull; bits = (bits & 0xfffffffffffffull) + 0x3fe6a09e667f3bcdull;
        memcpy(m, &bits, sizeof bits); memcpy(&f, &k, sizeof f);
        return f - (4503599627370496.0 + 1023.0);
    }

    /* min(a, bound) of numbers >= 0 by their bits: one instruction, where a comparison of floats, for the sake of NaN,
       is a blend of everything that is computed from the result. NaN becomes the bound. */
    static inline float fastnn_least_float(float a, float bound) {
        int32_t i, k; memcpy(&i, &a, sizeof i); memcpy(&k, &bound, sizeof k);
        i = i < k ? i : k; memcpy(&a, &i, sizeof a);
        return a;
    }
    static inline double fastnn_least_double(double a, double bound) {
        int64_t i, k; memcpy(&i, &a, sizeof i); memcpy(&k, &bound, sizeof k);
        i = i < k ? i : k; memcpy(&a, &i, sizeof a);
        return a;
    }

    /* The part of a * b that its rounded product p lost: exact where an FMA exists, Dekker's splitting elsewhere. */
    #if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__)
    static inline float fastnn_product_low_float(float a, float b, float p) { return __builtin_fmaf(a, b, -p); }
    static inline double fastnn_product_low_double(double a, double b, double p) { return __builtin_fma(a, b, -p); }
    #else
    static inline float fastnn_high_float(float a) {
        uint32_t bits; memcpy(&bits, &a, sizeof bits); bits &= 0xfffff000u; memcpy(&a, &bits, sizeof a);
        return a;
    }
    static inline double fastnn_high_double(double a) {
        uint64_t bits; memcpy(&bits, &a, sizeof bits); bits &= 0xfffffffff8000000ull; memcpy(&a, &bits, sizeof a);
        return a;
    }
    static inline float fastnn_product_low_float(float a, float b, float p) {
        float ah = fastnn_high_float(a), al = a - ah, bh = fastnn_high_float(b), bl = b - bh;
        return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
    }
    static inline double fastnn_product_low_double(double a, double b, double p) {
        double ah = fastnn_high_double(a), al = a - ah, bh = fastnn_high_double(b), bl = b - bh;
        return ((ah * bh - p) + ah * bl + al * bh) + al * bl;
    }
    #endif
    """
    float fastnn_power_of_two_float(float k) noexcept nogil
    double fastnn_power_of_two_double(double k) noexcept nogil
    float fastnn_log_split_float(float x, float *m) noexcept nogil
    double fastnn_log_split_double(double x, double *m) noexcept nogil
    float fastnn_least_float(float a, float bound) noexcept nogil
    double fastnn_least_double(double a, double bound) noexcept nogil
    float fastnn_product_low_float(float a, float b, float p) noexcept nogil
    double fastnn_product_low_double(double a, double b, double p) noexcept nogil
    float fabsf(float x) noexcept nogil
    double fabs(double x) noexcept nogil
    float sqrtf(float x) noexcept nogil
    double sqrt(double x) noexcept nogil
    float copysignf(float x, float y) noexcept nogil
    double copysign(double x, double y) noexcept nogil
    float INFINITY
    float NAN

ctypedef fused real:
    float
    double


cdef inline real absolute(real x) noexcept nogil:
    return fabsf(x) if real is float else fabs(x)


cdef inline real square_root(real x) noexcept nogil:
    return sqrtf(x) if real is float else sqrt(x)


cdef inline real with_sign(real magnitude, real sign) noexcept nogil:
    return copysignf(magnitude, sign) if real is float else copysign(magnitude, sign)


cdef inline real at_least(real x, real low) noexcept nogil:
    """max(x, low), NaN kept."""
    return low if x < low else x


cdef inline real at_most(real x, real high) noexcept nogil:
    """min(x, high), NaN kept."""
    return high if x > high else x


cdef inline real least(real a, real bound) noexcept nogil:
    """min(a, bound) for a >= 0; NaN becomes the bound."""
    return fastnn_least_float(a, bound) if real is float else fastnn_least_double(a, bound)


cdef inline real product_low(real a, real b, real product) noexcept nogil:
    """a * b - product, for the rounded product."""
    return fastnn_product_low_float(a, b, product) if real is float else fastnn_product_low_double(a, b, product)


# exp: x = k ln 2 + r with |r| <= ln(2)/2, exp(x) = 2^k (1 + p), p = r + r^2 q(r).
# k is rounded by adding 1.5 * 2^23 (2^52), which leaves it in the low bits of the sum.

cdef inline real exp_shift(real x, real bias) noexcept nogil:
    """k + bias + the rounding constant."""
    if real is float:
        return x * <real>1.44269504 + (<real>12582912 + bias)
    else:
        return x * <real>1.4426950408889634 + (<real>6755399441055744 + bias)


cdef inline real exp_rest(real x, real shifted, real bias) noexcept nogil:
    """r. The high part of ln 2 has so few bits that k times it is exact."""
    cdef real k
    if real is float:
        k = shifted - (<real>12582912 + bias)
        return (x - k * <real>0.693145751953125) - k * <real>1.42860677e-6
    else:
        k = shifted - (<real>6755399441055744 + bias)
        return (x - k * <real>0.6931471803691238) - k * <real>1.9082149292705877e-10


cdef inline real exp_tail(real r) noexcept nogil:
    """exp(r) - 1 for |r| <= 0.3467: relative error 2^-27.7 of exp (float), 2^-56.5 (double)."""
    cdef real q
    if real is float:
        q = <real>0.001395062311
        q = q * r + <real>0.008368908428
        q = q * r + <real>0.04166620225
        q = q * r + <real>0.1666651815
        q = q * r + <real>0.5
    else:
        q = <real>2.51179280764646094e-8
        q = q * r + <real>2.76313199172471288e-7
        q = q * r + <real>2.75572160838746947e-6
        q = q * r + <real>0.000024801489838264272
        q = q * r + <real>0.000198412699176306909
        q = q * r + <real>0.00138888889471085772
        q = q * r + <real>0.00833333333330709206
        q = q * r + <real>0.0416666666665150981
        q = q * r + <real>0.16666666666666699
        q = q * r + <real>0.500000000000001332
    return r * r * q + r


cdef inline real power_of_two(real shifted) noexcept nogil:
    return fastnn_power_of_two_float(shifted) if real is float else fastnn_power_of_two_double(shifted)


cdef inline real exp_floor(real like) noexcept nogil:
    """Below this, exp is 0 in the type of `like`, and so is its product with the x of a formula."""
    return <real>-131 if real is float else <real>-797


cdef inline real unscale(real like) noexcept nogil:
    """2^-BIAS: BIAS keeps 2^k normal down to `exp_floor`, so that the last multiplication alone rounds a subnormal."""
    return <real>5.421010862427522e-20 if real is float else <real>2.938735877055719e-39    # 2^-64, 2^-128


cdef inline real exp_scaled_within(real x, real low) noexcept nogil:
    """2^BIAS exp(x + low) for x from `exp_floor` to about 40 and a small correction `low`."""
    cdef real bias = <real>(127 + 64) if real is float else <real>(1023 + 128)
    cdef real shifted = exp_shift(x, bias)
    cdef real p = exp_tail(exp_rest(x, shifted, bias) + low)
    cdef real t = power_of_two(shifted)
    return t * p + t


cdef inline real exp_scaled_sum(real x, real low) noexcept nogil:
    """2^BIAS exp(x + low) for x from -inf to about 40 and a small correction `low`."""
    return exp_scaled_within(at_least(x, exp_floor(x)), low)


cdef inline real exp_scaled(real x) noexcept nogil:
    """2^BIAS exp(x) for x from -inf to about 40."""
    return exp_scaled_sum(x, <real>0)


cdef inline real exp(real x) noexcept nogil:
    """exp(x) for x from -inf to about 40, within 1 ULP, subnormal results included."""
    return exp_scaled(x) * unscale(x)


cdef inline real exp_any(real x) noexcept nogil:
    """exp(x) on the whole line, within 2 ULP."""
    cdef real e = exp(-absolute(x))
    return <real>1 / e if x > <real>0 else e


cdef inline real expm1(real x) noexcept nogil:
    """exp(x) - 1 for x <= 0 (up to about 40), within 1 ULP: 2^k p + (2^k - 1) rounds once."""
    cdef real bias = <real>127 if real is float else <real>1023
    cdef real clamped = at_least(x, <real>-60)
    cdef real shifted = exp_shift(clamped, bias)
    cdef real p = exp_tail(exp_rest(clamped, shifted, bias))
    cdef real t = power_of_two(shifted)
    return t * p + (t - <real>1)


cdef inline real atanh_tail(real w) noexcept nogil:
    """L(w) in 2 atanh(s) = 2s + s w L(w), w = s^2 <= 1/9: relative error 2^-27.6 of log1p (float), 2^-54.1 (double)."""
    cdef real q
    if real is float:
        q = <real>0.280244559
        q = q * w + <real>0.2799914777
        q = q * w + <real>0.4002169669
        q = q * w + <real>0.6666641235
    else:
        q = <real>0.177488548524450146
        q = q * w + <real>0.0989830699395707753
        q = q * w + <real>0.135872456843460471
        q = q * w + <real>0.153641921993379865
        q = q * w + <real>0.181828207207978348
        q = q * w + <real>0.222221926553930332
        q = q * w + <real>0.285714290631673584
        q = q * w + <real>0.399999999959978314
        q = q * w + <real>0.666666666666778762
    return q


cdef inline real log1p(real e) noexcept nogil:
    """log(1 + e) for e in [-0.29, 1] as 2 atanh(s), s = e / (2 + e); e - s (...) damps the rounding of s."""
    cdef real s = e / (<real>2 + e)
    cdef real w = s * s
    return e - s * (e - w * atanh_tail(w))


cdef inline real log(real x) noexcept nogil:
    """log(x): x = 2^k m, m from sqrt(1/2) to sqrt(2). Within 1 ULP; -inf at 0, NaN below."""
    cdef real tiny = <real>1.17549435e-38 if real is float else <real>2.2250738585072014e-308
    cdef real scale = <real>8388608 if real is float else <real>4503599627370496          # for subnormal x
    cdef real shift = <real>23 if real is float else <real>52
    cdef real m
    cdef real k
    cdef real low
    if real is float:
        k = fastnn_log_split_float(x * scale if x < tiny else x, &m)
    else:
        k = fastnn_log_split_double(x * scale if x < tiny else x, &m)
    k = k - (shift if x < tiny else <real>0)
    m = log1p(m - <real>1)
    if real is float:
        low = k * <real>0.693145751953125 + (m + k * <real>1.42860677e-6)
    else:
        low = k * <real>0.6931471803691238 + (m + k * <real>1.9082149292705877e-10)
    low = low if x < <real>INFINITY else x                                                  # inf and NaN
    return low if x > <real>0 else (<real>-INFINITY if x == <real>0 else <real>NAN)


cdef inline real tanh(real x) noexcept nogil:
    """tanh(x) = -m / (2 + m), m = expm1(-2 |x|)."""
    cdef real m = expm1(<real>-2 * absolute(x))
    return with_sign(-m / (<real>2 + m), x)


cdef inline real normal_tail(real a) noexcept nogil:
    """exp(a^2/2) Phi(-a) for a >= 0, Phi the normal distribution function: from 1/2 down to about 1/(a sqrt(2 pi))."""
    cdef real c = <real>4 if real is float else <real>3
    cdef real inverse = <real>1 / (a + c)
    cdef real t = (a - c) * inverse
    cdef real q
    if real is float:
        q = <real>-0.0001341958268
        q = q * t + <real>0.0001746588096
        q = q * t + <real>0.001568406471
        q = q * t + <real>-0.003510210896
        q = q * t + <real>-0.007524003275
        q = q * t + <real>0.06040348858
        q = q * t + <real>-0.186523661
        q = q * t + <real>0.3871369064
        q = q * t + <real>-0.6078965664
        q = q * t + <real>0.7552851439
    else:
        q = <real>-6.75237593124667127e-9
        q = q * t + <real>-2.98923210694760316e-9
        q = q * t + <real>6.8081274175822997e-8
        q = q * t + <real>9.17135807714082394e-8
        q = q * t + <real>-2.24595226128372482e-7
        q = q * t + <real>-6.43170685467558486e-7
        q = q * t + <real>-4.17004120070467601e-8
        q = q * t + <real>2.28901279527028182e-6
        q = q * t + <real>3.67178863414817296e-6
        q = q * t + <real>-3.53170167854323055e-6
        q = q * t + <real>-0.0000207022381171183041
        q = q * t + <real>-0.0000132419852946909483
        q = q * t + <real>0.0000788161526298376955
        q = q * t + <real>0.000154393684259569589
        q = q * t + <real>-0.000256575922724830614
        q = q * t + <real>-0.00104582852686777787
        q = q * t + <real>0.00102759231461572943
        q = q * t + <real>0.0069726212336453184
        q = q * t + <real>-0.0104628670260353083
        q = q * t + <real>-0.0472630251427393414
        q = q * t + <real>0.23001771997465531
        q = q * t + <real>-0.509331981917491849
        q = q * t + <real>0.729083690133372819
    return q * inverse


cdef inline real normal_bound(real a) noexcept nogil:
    """a >= 0, at most where Phi(-a) has vanished in the type of `a`; NaN becomes that, too."""
    return least(a, <real>15 if real is float else <real>39)


cdef inline real normal_weight_scaled(real a) noexcept nogil:
    """2^BIAS exp(-a^2/2) for a from 0 to `normal_bound`, a^2 kept in two parts because exp multiplies its error."""
    cdef real square = a * a
    return exp_scaled_within(<real>-0.5 * square, <real>-0.5 * product_low(a, a, square))
