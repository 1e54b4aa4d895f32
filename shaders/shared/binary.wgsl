// The pointwise functions of two values; codes are those of `code` in src/kernel/zip.rs.

#import bits

fn combine(code: u32, p: f32, q: f32) -> f32 {
    switch code {
        case 0u: { return p + q; }
        case 1u: { return p - q; }
        case 2u: { return p * q; }
        case 3u: { return p / q; }
        case 4u: { return larger(p, q); }
        case 5u: { return select(0.0, 1.0, ordered(p, q) && p < q); }
        case 6u: { return select(0.0, 1.0, ordered(p, q) && p >= q); }
        default: { return select(0.0, 1.0, ordered(p, q) && p == q); }
    }
}
