# cython: cdivision=True
"""Branch-free scalar functions that a C compiler turns into SIMD when they are inlined into a loop.

One body serves float and double: where the two differ it is by the constants in an `if lane is float`, decided at
compile time. Every literal is written `<lane>1`, because a bare 1.0 is a C double and would widen the whole loop.
The polynomials come from tools/polynomials.py, which states the error of each.

`lane` values that leave the normal range are kept scaled: `exp_scaled` returns 2^BIAS exp(x), so that a product with it
is rounded once, by the multiplication with `unscale` that ends the formula, also where the result is subnormal.
"""

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>

    typedef double fastnn_wide;

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

    /* k and c = 2^k b, so that a / c is from 0.66 to 1.51 and k = 0 where a is near b: the bits of a number are nearly its
       logarithm. Normal numbers above 0. */
    static inline float fastnn_ratio_split_float(float a, float b, float *c) {
        uint32_t i, j, k; float f;
        memcpy(&i, &a, sizeof i); memcpy(&j, &b, sizeof j);
        k = (i - j + 0x400000u + (255u << 23)) >> 23; j += (k << 23) - (255u << 23); k |= 0x4b000000u;
        memcpy(c, &j, sizeof j); memcpy(&f, &k, sizeof f);
        return f - (8388608.0f + 255.0f);
    }
    static inline double fastnn_ratio_split_double(double a, double b, double *c) {
        uint64_t i, j, k; double f;
        memcpy(&i, &a, sizeof i); memcpy(&j, &b, sizeof j);
        k = (i - j + 0x8000000000000ull + (2047ull << 52)) >> 52; j += (k << 52) - (2047ull << 52);
        k |= 0x4330000000000000ull;
        memcpy(c, &j, sizeof j); memcpy(&f, &k, sizeof f);
        return f - (4503599627370496.0 + 2047.0);
    }

    /* x, or another number where x is 0; by its bits, lest a compiler that knows x as no zero leaves out the choice in a
       branch that is then none. */
    static inline float fastnn_unless_zero_float(float x, float other) {
        uint32_t i, k; memcpy(&i, &x, sizeof i); memcpy(&k, &other, sizeof k);
        i = i << 1 ? i : k; memcpy(&x, &i, sizeof x);
        return x;
    }
    static inline double fastnn_unless_zero_double(double x, double other) {
        uint64_t i, k; memcpy(&i, &x, sizeof i); memcpy(&k, &other, sizeof k);
        i = i << 1 ? i : k; memcpy(&x, &i, sizeof x);
        return x;
    }

    /* value, the logarithm of a / b, or what it is where one of them is 0, infinite, NaN or below 0 (-0 is) */
    static inline float fastnn_ratio_end_float(float value, float a, float b) {
        uint32_t i, j, v, other; float special = (a - b) * INFINITY;
        memcpy(&i, &a, sizeof i); memcpy(&j, &b, sizeof j); memcpy(&v, &value, sizeof v);
        memcpy(&other, &special, sizeof other); other |= (uint32_t)-(int32_t)((i | j) >> 31);
        v = (i - 1u < 0x7f7fffffu) & (j - 1u < 0x7f7fffffu) ? v : other;
        memcpy(&value, &v, sizeof v);
        return value;
    }
    static inline double fastnn_ratio_end_double(double value, double a, double b) {
        uint64_t i, j, v, other; double special = (a - b) * (double)INFINITY;
        memcpy(&i, &a, sizeof i); memcpy(&j, &b, sizeof j); memcpy(&v, &value, sizeof v);
        memcpy(&other, &special, sizeof other); other |= (uint64_t)-(int64_t)((i | j) >> 63);
        v = (i - 1u < 0x7fefffffffffffffull) & (j - 1u < 0x7fefffffffffffffull) ? v : other;
        memcpy(&value, &v, sizeof v);
        return value;
    }

    /* x^(-1/3) within 3.5 % for normal x > 0, by a third of its bits; of a double those of the upper half */
    static inline float fastnn_inverse_cube_root_float(float x) {
        int32_t bits;
        memcpy(&bits, &x, sizeof bits); bits = (int32_t)(1419900032.0f - (1.0f / 3.0f) * (float)bits);
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    static inline double fastnn_inverse_cube_root_double(double x) {
        uint64_t bits;
        memcpy(&bits, &x, sizeof bits); bits = (bits >> 32) | 0x4330000000000000ull; memcpy(&x, &bits, sizeof x);
        x = 1430186324.0 - (1.0 / 3.0) * (x - 4503599627370496.0) + 4503599627370496.0;
        memcpy(&bits, &x, sizeof bits); bits <<= 32; memcpy(&x, &bits, sizeof x);
        return x;
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

    /* y >= 0 with the sign of x, or with the other one. */
    static inline float fastnn_with_sign_float(float y, float x) {
        uint32_t a, b; memcpy(&a, &y, sizeof a); memcpy(&b, &x, sizeof b);
        a |= b & 0x80000000u; memcpy(&y, &a, sizeof y);
        return y;
    }
    static inline double fastnn_with_sign_double(double y, double x) {
        uint64_t a, b; memcpy(&a, &y, sizeof a); memcpy(&b, &x, sizeof b);
        a |= b & 0x8000000000000000ull; memcpy(&y, &a, sizeof y);
        return y;
    }
    static inline float fastnn_against_float(float y, float x) {
        uint32_t a, b; memcpy(&a, &y, sizeof a); memcpy(&b, &x, sizeof b);
        a |= ~b & 0x80000000u; memcpy(&y, &a, sizeof y);
        return y;
    }
    static inline double fastnn_against_double(double y, double x) {
        uint64_t a, b; memcpy(&a, &y, sizeof a); memcpy(&b, &x, sizeof b);
        a |= ~b & 0x8000000000000000ull; memcpy(&y, &a, sizeof y);
        return y;
    }

    /* Whether there is an FMA; setup.py says 0 where all levels are to give the same bits. */
    #ifndef FASTNN_FMA
    #if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__)
    #define FASTNN_FMA 1
    #else
    #define FASTNN_FMA 0
    #endif
    #endif

    /* The part of a * b that its rounded product p lost: exact where an FMA exists, Dekker's splitting elsewhere. */
    #if FASTNN_FMA
    static inline float fastnn_fma_float(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static inline double fastnn_fma_double(double a, double b, double c) { return __builtin_fma(a, b, c); }
    static inline float fastnn_product_low_float(float a, float b, float p) { return __builtin_fmaf(a, b, -p); }
    static inline double fastnn_product_low_double(double a, double b, double p) { return __builtin_fma(a, b, -p); }
    #else
    static inline float fastnn_fma_float(float a, float b, float c) { return a * b + c; }
    static inline double fastnn_fma_double(double a, double b, double c) { return a * b + c; }
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
    float fastnn_ratio_split_float(float a, float b, float *c) noexcept nogil
    double fastnn_ratio_split_double(double a, double b, double *c) noexcept nogil
    float fastnn_unless_zero_float(float x, float other) noexcept nogil
    double fastnn_unless_zero_double(double x, double other) noexcept nogil
    float fastnn_ratio_end_float(float value, float a, float b) noexcept nogil
    double fastnn_ratio_end_double(double value, double a, double b) noexcept nogil
    float fastnn_inverse_cube_root_float(float x) noexcept nogil
    double fastnn_inverse_cube_root_double(double x) noexcept nogil
    float fastnn_least_float(float a, float bound) noexcept nogil
    double fastnn_least_double(double a, double bound) noexcept nogil
    float fastnn_with_sign_float(float y, float x) noexcept nogil
    double fastnn_with_sign_double(double y, double x) noexcept nogil
    float fastnn_against_float(float y, float x) noexcept nogil
    double fastnn_against_double(double y, double x) noexcept nogil
    float fastnn_product_low_float(float a, float b, float p) noexcept nogil
    double fastnn_product_low_double(double a, double b, double p) noexcept nogil
    float fastnn_fma_float(float a, float b, float c) noexcept nogil
    double fastnn_fma_double(double a, double b, double c) noexcept nogil
    float fabsf(float x) noexcept nogil
    double fabs(double x) noexcept nogil
    float sqrtf(float x) noexcept nogil
    double sqrt(double x) noexcept nogil
    const bint HAS_FMA "FASTNN_FMA"
    float INFINITY
    float NAN
    ctypedef long double wide "fastnn_wide"

# what an array holds
ctypedef fused real:
    float
    double

# what a formula computes in; `wide` for float arrays where float lanes would lose too many digits
ctypedef fused lane:
    float
    double
    wide


cdef inline lane absolute(lane x) noexcept nogil:
    if lane is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline lane square_root(lane x) noexcept nogil:
    if lane is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline lane with_sign(lane magnitude, lane sign) noexcept nogil:
    """magnitude, >= 0 or of that sign, with the sign of `sign`."""
    if lane is float:
        return fastnn_with_sign_float(magnitude, sign)
    else:
        return fastnn_with_sign_double(magnitude, sign)


cdef inline lane against(lane magnitude, lane sign) noexcept nogil:
    """magnitude >= 0 with the sign opposite to that of `sign`."""
    if lane is float:
        return fastnn_against_float(magnitude, sign)
    else:
        return fastnn_against_double(magnitude, sign)


cdef inline lane at_least(lane x, lane low) noexcept nogil:
    """max(x, low), NaN kept."""
    return low if x < low else x


cdef inline lane at_most(lane x, lane high) noexcept nogil:
    """min(x, high), NaN kept."""
    return high if x > high else x


cdef inline lane least(lane a, lane bound) noexcept nogil:
    """min(a, bound) for a >= 0; NaN becomes the bound."""
    if lane is float:
        return fastnn_least_float(a, bound)
    else:
        return fastnn_least_double(a, bound)


cdef inline lane fma(lane a, lane b, lane c) noexcept nogil:
    """a b + c, rounded once where the processor can: for what must not hang on the products that a compiler fuses."""
    if lane is float:
        return fastnn_fma_float(a, b, c)
    else:
        return fastnn_fma_double(a, b, c)


cdef inline lane product_low(lane a, lane b, lane product) noexcept nogil:
    """a * b - product, for the rounded product; 0 in `wide`, which holds the product of two floats."""
    if lane is wide:
        return 0
    elif lane is float:
        return fastnn_product_low_float(a, b, product)
    else:
        return fastnn_product_low_double(a, b, product)


cdef inline lane rest_of(lane a, lane b, lane c) noexcept nogil:
    """a b + c where they cancel, with what the product loses."""
    cdef lane product
    if HAS_FMA or lane is wide:
        return fma(a, b, c)
    product = a * b
    return (product + c) + product_low(a, b, product)


cdef inline lane sum_low(lane a, lane b, lane total) noexcept nogil:
    """a + b - total, for the rounded sum and |a| >= |b|; 0 in `wide`."""
    return 0 if lane is wide else (a - total) + b


# exp: x = k ln 2 + r with |r| <= ln(2)/2, exp(x) = 2^k (1 + p), p = r + r^2 q(r).
# k is rounded by adding 1.5 * 2^23 (2^52), which leaves it in the low bits of the sum.

cdef inline lane exp_shift(lane x, lane bias) noexcept nogil:
    """k + bias + the rounding constant."""
    if lane is float:
        return fma(x, <lane>1.44269504, <lane>12582912 + bias)
    else:
        return fma(x, <lane>1.4426950408889634, <lane>6755399441055744 + bias)


cdef inline lane exp_k(lane shifted, lane bias) noexcept nogil:
    return shifted - ((<lane>12582912 if lane is float else <lane>6755399441055744) + bias)


cdef inline lane exp_rest(lane x, lane k) noexcept nogil:
    """r of x. The high part of ln 2 has so few bits that k times it is exact."""
    if lane is float:
        return fma(k, <lane>-1.42860677e-6, fma(k, <lane>-0.693145751953125, x))
    elif lane is wide:
        return fma(k, <lane>-0.6931471805599453, x)
    else:
        return fma(k, <lane>-1.9082149292705877e-10, fma(k, <lane>-0.6931471803691238, x))


cdef inline lane exp_rest_of_sum(lane x, lane low, lane k) noexcept nogil:
    """r of x + low, a small correction."""
    if lane is float:
        return fma(k, <lane>-0.693145751953125, x) + fma(k, <lane>-1.42860677e-6, low)
    elif lane is wide:
        return fma(k, <lane>-0.6931471805599453, x)
    else:
        return fma(k, <lane>-0.6931471803691238, x) + fma(k, <lane>-1.9082149292705877e-10, low)


cdef inline lane exp_tail(lane r) noexcept nogil:
    """q(r) in exp(r) = 1 + r + r^2 q(r) for |r| <= 0.3467: relative error 2^-27.7 of exp (float), 2^-56.5 (double).

    Even and odd powers do not wait for each other.
    """
    cdef lane w = r * r
    cdef lane q, odd
    if lane is not double:
        q = <lane>0.001395062311
        q = fma(q, w, <lane>0.04166620225)
        odd = fma(<lane>0.008368908428, w, <lane>0.1666651815)
        q = fma(q, w, <lane>0.5)
    else:
        odd = <lane>2.51179280764646094e-8
        q = <lane>2.76313199172471288e-7
        odd = fma(odd, w, <lane>2.75572160838746947e-6)
        q = fma(q, w, <lane>0.000024801489838264272)
        odd = fma(odd, w, <lane>0.000198412699176306909)
        q = fma(q, w, <lane>0.00138888889471085772)
        odd = fma(odd, w, <lane>0.00833333333330709206)
        q = fma(q, w, <lane>0.0416666666665150981)
        odd = fma(odd, w, <lane>0.16666666666666699)
        q = fma(q, w, <lane>0.500000000000001332)
    return fma(odd, r, q)


cdef inline lane exp_short_tail(lane r) noexcept nogil:
    """The same with one coefficient less: 2^-23.2 (float), 2^-51.6 (double), for derivatives."""
    cdef lane w = r * r
    cdef lane q, odd
    if lane is not double:
        odd = fma(<lane>0.008374632336, w, <lane>0.1666645706)
        q = fma(<lane>0.0418984592, w, <lane>0.4999914467)
    else:
        q = <lane>2.76356723633967201e-7
        odd = <lane>2.76353439138145389e-6
        q = fma(q, w, <lane>0.0000248014779337778659)
        odd = fma(odd, w, <lane>0.000198411843897707365)
        q = fma(q, w, <lane>0.00138888889579053183)
        odd = fma(odd, w, <lane>0.00833333337149776664)
        q = fma(q, w, <lane>0.0416666666664796959)
        odd = fma(odd, w, <lane>0.166666666666101665)
        q = fma(q, w, <lane>0.500000000000001554)
    return fma(odd, r, q)


cdef inline lane power_of_two(lane shifted) noexcept nogil:
    if lane is float:
        return fastnn_power_of_two_float(shifted)
    else:
        return fastnn_power_of_two_double(shifted)


cdef inline lane exp_floor(lane like) noexcept nogil:
    """Below this, exp is 0 in the type of `like`, and so is its product with the x of a formula."""
    return <lane>-131 if lane is float else (<lane>-200 if lane is wide else <lane>-797)


cdef inline lane unscale(lane like) noexcept nogil:
    """2^-BIAS: BIAS keeps 2^k normal down to `exp_floor`, so that the last multiplication alone rounds a subnormal."""
    if lane is wide:
        return <lane>1
    else:
        return <lane>5.421010862427522e-20 if lane is float else <lane>2.938735877055719e-39    # 2^-64, 2^-128


cdef inline lane exp_bias(lane like) noexcept nogil:
    """The bits of the exponent of 2^BIAS."""
    return <lane>(127 + 64) if lane is float else (<lane>1023 if lane is wide else <lane>(1023 + 128))


cdef inline lane exp_pieces_at(lane x, lane low, lane bias, lane *t, lane *r) noexcept nogil:
    cdef lane shifted = exp_shift(x, bias)
    t[0] = power_of_two(shifted)
    r[0] = exp_rest_of_sum(x, low, exp_k(shifted, bias))
    return exp_tail(r[0])


cdef inline lane exp_pieces(lane x, lane low, lane *t, lane *r) noexcept nogil:
    """t, r and, returned, q in 2^BIAS exp(x + low) = t (1 + r + r^2 q), t a power of two and r^2 q below 0.07.

    x from `exp_floor` to about 40, `low` a small correction.
    """
    return exp_pieces_at(x, low, exp_bias(x), t, r)


cdef inline lane exp_parts_at(lane x, lane low, lane bias, lane *t) noexcept nogil:
    """t and, returned, p in 2^b exp(x + low) = t (1 + p), `bias` the bits of the exponent of 2^b."""
    cdef lane r
    cdef lane q = exp_pieces_at(x, low, bias, t, &r)
    return fma(r * r, q, r)


cdef inline lane exp_parts(lane x, lane low, lane *t) noexcept nogil:
    """t and, returned, p in 2^BIAS exp(x + low) = t (1 + p): what is multiplied with t is not rounded again."""
    return exp_parts_at(x, low, exp_bias(x), t)


cdef inline lane exp_split_at(lane x, lane bias, lane *t) noexcept nogil:
    """The same for x alone, which takes one operation less."""
    cdef lane shifted = exp_shift(x, bias)
    cdef lane r = exp_rest(x, exp_k(shifted, bias))
    t[0] = power_of_two(shifted)
    return fma(r * r, exp_tail(r), r)


cdef inline lane exp_split(lane x, lane *t) noexcept nogil:
    """t and, returned, p in 2^BIAS exp(x) = t (1 + p)."""
    return exp_split_at(x, exp_bias(x), t)


cdef inline lane exp_split_plain(lane x, lane *t) noexcept nogil:
    """t and, returned, p in exp(x) = t (1 + p), for t that are normal numbers."""
    return exp_split_at(x, <lane>127 if lane is float else <lane>1023, t)


cdef inline lane exp_split_short(lane x, lane *t) noexcept nogil:
    """The same with 22 (50) binary digits: enough for most derivatives."""
    cdef lane shifted = exp_shift(x, exp_bias(x))
    cdef lane r = exp_rest(x, exp_k(shifted, exp_bias(x)))
    t[0] = power_of_two(shifted)
    return fma(r * r, exp_short_tail(r), r)


cdef inline wide exp_in_wide(wide x) noexcept nogil:
    """exp(x) for x from -700 to 700, as exact as float needs it."""
    cdef wide t
    cdef wide p = exp_split(x, &t)
    return fma(t, p, t)


cdef inline lane exp_scaled_sum(lane x, lane low) noexcept nogil:
    """2^BIAS exp(x + low) for x from -inf to about 40 and a small correction `low`."""
    cdef lane t
    cdef lane p = exp_parts(at_least(x, exp_floor(x)), low, &t)
    return fma(t, p, t)


cdef inline lane exp_scaled(lane x) noexcept nogil:
    """2^BIAS exp(x) for x from -inf to about 40."""
    cdef lane t
    cdef lane p = exp_split(at_least(x, exp_floor(x)), &t)
    return fma(t, p, t)


cdef inline lane exp(lane x) noexcept nogil:
    """exp(x) for x from -inf to about 40, within 1 ULP, subnormal results included."""
    return exp_scaled(x) * unscale(x)


cdef inline lane exp_any(lane x) noexcept nogil:
    """exp(x) on the whole line, within 2 ULP."""
    cdef lane e = exp(-absolute(x))
    return <lane>1 / e if x > <lane>0 else e


cdef inline lane expm1(lane x) noexcept nogil:
    """exp(x) - 1 for x <= 0 (up to about 40), within 1 ULP: 2^k p + (2^k - 1) rounds once."""
    cdef lane t
    cdef lane p = exp_split_plain(at_least(x, <lane>-60), &t)
    return fma(t, p, t - <lane>1)


cdef inline lane atanh_tail(lane w) noexcept nogil:
    """L(w) in 2 atanh(s) = 2s + s w L(w), w = s^2 <= 1/9: relative error 2^-27.6 of log1p (float), 2^-54.1 (double)."""
    cdef lane q
    if lane is not double:
        q = <lane>0.280244559
        q = fma(q, w, <lane>0.2799914777)
        q = fma(q, w, <lane>0.4002169669)
        q = fma(q, w, <lane>0.6666641235)
    else:
        q = <lane>0.177488548524450146
        q = fma(q, w, <lane>0.0989830699395707753)
        q = fma(q, w, <lane>0.135872456843460471)
        q = fma(q, w, <lane>0.153641921993379865)
        q = fma(q, w, <lane>0.181828207207978348)
        q = fma(q, w, <lane>0.222221926553930332)
        q = fma(q, w, <lane>0.285714290631673584)
        q = fma(q, w, <lane>0.399999999959978314)
        q = fma(q, w, <lane>0.666666666666778762)
    return q


cdef inline lane log1p(lane e) noexcept nogil:
    """log(1 + e) for e in [-0.29, 1] as 2 atanh(s), s = e / (2 + e); e - s (...) damps the rounding of s."""
    cdef lane s = e / (<lane>2 + e)
    cdef lane w = s * s
    return fma(-s, fma(-w, atanh_tail(w), e), e)


cdef inline real with_log_of_power(real k, real m) noexcept nogil:
    """k ln 2 + m."""
    if real is float:
        return k * <real>0.693145751953125 + (m + k * <real>1.42860677e-6)
    else:
        return k * <real>0.6931471803691238 + (m + k * <real>1.9082149292705877e-10)


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
    low = with_log_of_power(k, m)
    low = low if x < <real>INFINITY else x                                                  # inf and NaN
    return low if x > <real>0 else (<real>-INFINITY if x == <real>0 else <real>NAN)


cdef inline real ratio_tail(real w) noexcept nogil:
    """L(w) of `atanh_tail` for w <= 0.0402: relative error 2^-28.1 of the logarithm (float), 2^-55.7 (double)."""
    cdef real q
    if real is float:
        q = <real>0.3036991060
        q = fma(q, w, <real>0.3995739222)
        return fma(q, w, <real>0.6666694880)
    q = <real>0.153792853813603442
    q = fma(q, w, <real>0.152487603002902544)
    q = fma(q, w, <real>0.181864275445412560)
    q = fma(q, w, <real>0.222221367541328596)
    q = fma(q, w, <real>0.285714294167123775)
    q = fma(q, w, <real>0.399999999960421238)
    return fma(q, w, <real>0.666666666666729357)


cdef inline real log_of_ratio_of(real a, real b, real difference, real power) noexcept nogil:
    """log(2^power a/b) of normal numbers above 0: k ln 2 + 2 atanh((a - c)/(a + c)) with c = 2^k b. `difference` is a - b,
    which may be known better than a and b are; 2 ULP more than these make."""
    cdef real c, k, twice, s, w
    if real is float:
        k = fastnn_ratio_split_float(a, b, &c)
    else:
        k = fastnn_ratio_split_double(a, b, &c)
    twice = (difference if k == <real>0 else a - c) / fma(<real>0.5, c, <real>0.5 * a)      # a + c may overflow
    s = <real>0.5 * twice
    w = s * s
    return with_log_of_power(k + power, fma(s * w, ratio_tail(w), twice))


cdef inline real unless_zero(real x, real other) noexcept nogil:
    """x, or another number where x is 0."""
    if real is float:
        return fastnn_unless_zero_float(x, other)
    else:
        return fastnn_unless_zero_double(x, other)


cdef inline real end_of_ratio(real value, real a, real b) noexcept nogil:
    """value, the logarithm of a/b, or what it is where one of them is 0, infinite, NaN or below 0."""
    if real is float:
        return fastnn_ratio_end_float(value, a, b)
    else:
        return fastnn_ratio_end_double(value, a, b)


cdef inline real log_of_complement(real y) noexcept nogil:
    """log(1 - y) for y <= 1, which keeps its digits where y is small; -inf at 1, NaN above."""
    cdef real x = <real>1 - y
    cdef real m, k, low
    if real is float:
        k = fastnn_log_split_float(x, &m)
    else:
        k = fastnn_log_split_double(x, &m)
    low = with_log_of_power(k, log1p(-y if k == <real>0 else m - <real>1))
    low = low if x < <real>INFINITY else x
    return low if x > <real>0 else (<real>-INFINITY if x == <real>0 else <real>NAN)


cdef inline real cube_root(real x) noexcept nogil:
    """The cube root of x >= 0 within 1 ULP, one of the two numbers beside it: 0.951 ULP for any float32.

    From y near x^(-1/3), by (1 - e)^(-1/3) for e = 1 - x y^3, and a step of Newton's for x y^2, without a division. x is
    scaled, so that no cube overflows and no residual is subnormal.
    """
    cdef real third = <real>0.3333333333333333
    cdef bint small = x < <real>1
    cdef real up = <real>281474976710656 if real is float else <real>6.277101735386681e57           # 2^48, 2^192
    cdef real down = <real>3.552713678800501e-15 if real is float else <real>1.5930919111324523e-58
    cdef real up_root = <real>65536 if real is float else <real>18446744073709551616                # 2^16, 2^64
    cdef real down_root = <real>0.0000152587890625 if real is float else <real>5.421010862427522e-20
    cdef real scaled = x * (up if small else down)
    cdef real y, e, square, root
    if real is float:
        y = fastnn_inverse_cube_root_float(scaled)
    else:
        y = fastnn_inverse_cube_root_double(scaled)
    e = <real>1 - (scaled * y) * (y * y)
    y = y + y * (e * (third + e * (<real>0.2222222222222222 + e * <real>0.1728395061728395)))
    if real is double:
        e = <real>1 - (scaled * y) * (y * y)
        y = y + y * (e * (third + e * <real>0.2222222222222222))
    square = y * y
    root = scaled * square
    root = root + (scaled - root * root * root) * (third * square)
    root = root * (down_root if small else up_root)
    root = root if x < <real>INFINITY else x        # not `and`, which is a branch: the loop would not be vectorised
    return root if x > <real>0 else x


cdef inline lane tanh_parts(lane x, lane low, lane *rest) noexcept nogil:
    """tanh(x + low) for x >= 0 and a small correction `low`: -m / (2 + m), m = expm1(-2x).

    In double `rest` is what its roundings lost, for which 1/d is needed within 4% only, on [1, 2].
    """
    cdef lane t, m, d, y, m_low
    cdef lane p = exp_split_plain(at_least(<lane>-2 * x, <lane>-60), &t)
    m = t * p + (t - <lane>1)
    d = <lane>2 + m
    y = -m / d
    rest[0] = <lane>-0.0
    if lane is double:
        m_low = sum_low(t - <lane>1, t * p, m)
        rest[0] = low * (<lane>1 - y * y) - (fma(y, d, m) + (m_low + y * (m_low + sum_low(<lane>2, m, d)))) * (
            <lane>1.457 - <lane>0.5 * d)
    return y


cdef inline lane tanh_of_size(lane a) noexcept nogil:
    """tanh(a), a >= 0: (1 - e)/(1 + e), e = exp(-2a) = t (1 + p)."""
    cdef lane t
    cdef lane p = exp_split_plain(<lane>-2 * at_most(a, <lane>30), &t)
    cdef lane s = <lane>1 + t
    cdef lane d = fma(t, p, s)
    cdef lane m = fma(-t, p, <lane>1 - t)
    return m / d


cdef inline lane exp_of_tanh(lane a) noexcept nogil:
    """exp(-2a), a >= 0, of what `tanh_of_size` computes; not below exp(-60)."""
    cdef lane t
    cdef lane p = exp_split_plain(<lane>-2 * at_most(a, <lane>30), &t)
    return fma(t, p, t)


cdef inline lane tanh_squared(lane a) noexcept nogil:
    """tanh(a)^2, a >= 0, with what 1 + e and the quotient lost; 1/d is needed within 4% only, on [1, 2]."""
    cdef lane t
    cdef lane p = exp_split_plain(<lane>-2 * at_most(a, <lane>30), &t)
    cdef lane s = <lane>1 + t
    cdef lane d = fma(t, p, s)
    cdef lane m = fma(-t, p, <lane>1 - t)
    cdef lane y = m / d
    cdef lane lost = fma(-y, d, m) - y * fma(t, p, s - d)
    return fma(y, y, (y + y) * lost * fma(d, <lane>-0.5, <lane>1.457))


cdef inline lane tanh(lane x) noexcept nogil:
    return with_sign(tanh_of_size(absolute(x)), x)
