// y = Σ a or Σ a·b: four sums by one thread, in order
for (var i = 4u * local; i < COUNT; i += 4u * THREADS) {
    var sums = vec4<f32>(0.0);
    for (var l = 0u; l < TERMS + zero; l++) {
        sums += term(i, l);
    }
    finish(i, sums);
}
