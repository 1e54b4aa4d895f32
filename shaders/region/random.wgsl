// y[i] = the number of (task, element), uniform on [0, 1) or normal: as in shaders/random.wgsl
#import threefry
#import sine
let seed = vec2<u32>(key_get(key_at(0u)) + STREAM * 0x9e3779b9u, key_get(key_at(1u)));
for (var i = local; i < COUNT; i += THREADS) {
    let counter = vec2<u32>(FIRST + task * TASKS + i / PER_TASK, i % PER_TASK);
    let words = threefry2x32(seed, counter);
    let unit = vec2<f32>(words >> vec2<u32>(8u)) * (1.0 / 16777216.0);
    if NORMAL == 1u {
        let radius = square_root(max(-2.0 * logarithm(1.0 - unit.x), 0.0));
        y_put(y_at(i), radius * sine(6.283185307179586 * unit.y, 1u));
    } else {
        y_put(y_at(i), unit.x);
    }
}
