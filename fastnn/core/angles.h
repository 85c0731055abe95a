/* Angles too large to subtract multiples of pi from: the bits of 2/pi that matter are taken from a table (Payne and Hanek).

   Of an angle M 2^e, M an integer of 53 bits, bits of 2/pi before weight 2^(2 - e) give whole turns; the next 192 are enough
   for any double. */

#ifndef FASTNN_ANGLES_H
#define FASTNN_ANGLES_H

#include <stdint.h>
#include <string.h>

/* pi/2 in two parts */
#define FASTNN_PI_2 1.5707963267948966
#define FASTNN_PI_2_LOW 6.123233995736766e-17

/* 64 zeros, then the bits of 2/pi */
static const uint32_t fastnn_two_over_pi[] = {
    0x00000000, 0x00000000, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561,
    0xb7246e3a, 0x424dd2e0, 0x06492eea, 0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484, 0xe99c7026, 0xb45f7e41,
    0x3991d639, 0x835339f4, 0x9c845f8b, 0xbdf9283b, 0x1ff897ff, 0xde05980f, 0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7,
    0x4f463f66, 0x9e5fea2d, 0x7527bac7, 0xebe5f17b, 0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1, 0x1f8d5d08, 0x56033046, 0xfc7b6bab,
    0xf0cfbc20, 0x9af4361d};

/* m 2^e as quarter turns, for a normal m with 1/2 <= |m| 2^e < 2^1044: how many, modulo 4, and the rest of [-1/2, 1/2] in
   two parts. */
static int fastnn_quarter_turns(double m, int e, double *rest, double *low)
{
    uint64_t bits, mantissa, parts[6] = {0}, high, middle;
    int64_t signed_high;
    int start, shift, i, j, quarter;
    const uint32_t *words;
    memcpy(&bits, &m, sizeof bits);
    mantissa = (bits & 0xfffffffffffffull) | 0x10000000000000ull;
    start = (int)(bits >> 52 & 0x7ff) - 1075 + e + 62;
    words = fastnn_two_over_pi + start / 32;
    shift = start % 32;
    for (i = 0; i < 6; i++) {                   /* mantissa times the window, modulo 2^192, in digits of 32 bits */
        uint64_t digit = shift ? (uint32_t)(words[5 - i] << shift) | words[6 - i] >> (32 - shift) : words[5 - i];
        uint64_t carry = 0, halves[2] = {mantissa & 0xffffffff, mantissa >> 32};
        for (j = 0; j < 2 && i + j < 6; j++) {
            uint64_t sum = digit * halves[j] + parts[i + j] + carry;
            parts[i + j] = sum & 0xffffffff;
            carry = sum >> 32;
        }
        for (j = i + 2; j < 6 && carry; j++) {
            uint64_t sum = parts[j] + carry;
            parts[j] = sum & 0xffffffff;
            carry = sum >> 32;
        }
    }
    high = parts[5] << 32 | parts[4];
    middle = parts[3] << 32 | parts[2];
    quarter = (int)((high + (1ull << 61)) >> 62);
    high <<= 2;                                 /* the fraction, of [-1/2, 1/2), by its two's complement */
    memcpy(&signed_high, &high, sizeof high);
    m = (double)(signed_high >> 2);
    *low = ((double)((signed_high >> 2) - (int64_t)m) + (double)middle * 0x1p-64) * 0x1p-62;
    *low += (double)(parts[1] << 32 | parts[0]) * 0x1p-190;
    *rest = m * 0x1p-62;
    if (bits >> 63) {
        quarter = -quarter;
        *rest = -*rest;
        *low = -*low;
    }
    return quarter & 3;
}

/* y with its sign turned if the integer in the low bits of k, as adding 1.5 * 2^(mantissa bits) leaves it, is odd */
static inline float fastnn_turned_float(float y, float k) {
    uint32_t a, b; memcpy(&a, &y, sizeof a); memcpy(&b, &k, sizeof b);
    a ^= b << 31; memcpy(&y, &a, sizeof y);
    return y;
}
static inline double fastnn_turned_double(double y, double k) {
    uint64_t a, b; memcpy(&a, &y, sizeof a); memcpy(&b, &k, sizeof b);
    a ^= b << 63; memcpy(&y, &a, sizeof y);
    return y;
}
/* 1, or 0 where that integer is even */
static inline double fastnn_one_where_odd(double k) {
    const double one = 1; uint64_t a, b; memcpy(&a, &k, sizeof a); memcpy(&b, &one, sizeof b);
    b &= 0 - (a & 1); memcpy(&k, &b, sizeof k);
    return k;
}

/* below 0 where |x| > reach, and for NaN: the sign of a union of such numbers can be vectorised, a largest |x| cannot */
static inline int32_t fastnn_beyond_float(float x, float reach) {
    int32_t a, b; memcpy(&a, &x, sizeof a); memcpy(&b, &reach, sizeof b);
    return b - (a & 0x7fffffff);
}
static inline int64_t fastnn_beyond_double(double x, double reach) {
    int64_t a, b; memcpy(&a, &x, sizeof a); memcpy(&b, &reach, sizeof b);
    return b - (a & 0x7fffffffffffffff);
}

#endif
