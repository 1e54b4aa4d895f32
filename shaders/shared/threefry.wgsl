// Threefry-2x32 with 20 rounds (Salmon et al. 2011): counter-based random words out of additions,
// rotations and exclusive ors, the same bits everywhere.

fn rotated(x: u32, by: u32) -> u32 {
    return (x << by) | (x >> (32u - by));
}

fn round_of(x: vec2<u32>, by: u32) -> vec2<u32> {
    let first = x.x + x.y;
    return vec2<u32>(first, rotated(x.y, by) ^ first);
}

fn rounds_even(x: vec2<u32>) -> vec2<u32> {
    return round_of(round_of(round_of(round_of(x, 13u), 15u), 26u), 6u);
}

fn rounds_odd(x: vec2<u32>) -> vec2<u32> {
    return round_of(round_of(round_of(round_of(x, 17u), 29u), 16u), 24u);
}

fn threefry2x32(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    let third = 0x1bd11bdau ^ key.x ^ key.y;
    var x = counter + key;
    x = rounds_even(x) + vec2<u32>(key.y, third + 1u);
    x = rounds_odd(x) + vec2<u32>(third, key.x + 2u);
    x = rounds_even(x) + vec2<u32>(key.x, key.y + 3u);
    x = rounds_odd(x) + vec2<u32>(key.y, third + 4u);
    x = rounds_even(x) + vec2<u32>(third, key.x + 5u);
    return x;
}
