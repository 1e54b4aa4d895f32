// y = Σ a or Σ a·b: four sums by one thread, in order
for (var i = 4u * local; i < COUNT; i += 4u * THREADS) {
    var sums = vec4<f32>(0.0);
    // As in sum.wgsl.
    for (var l = 0u; l < TERMS / 4u * 4u + zero; l += 4u) {
        let a = term(i, l);
        let b = term(i, l + 1u);
        let c = term(i, l + 2u);
        let d = term(i, l + 3u);
        sums = sums + a + b + c + d;
    }
    for (var l = TERMS / 4u * 4u; l < TERMS + zero; l++) {
        sums += term(i, l);
    }
    finish(i, sums);
}
