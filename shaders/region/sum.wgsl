// y = Σ a or Σ a·b: each sum by one thread, in order
for (var i = local; i < COUNT; i += THREADS) {
    var sum = 0.0;
    // Four terms at a time, whose reads wait together, added in order; what is left over is written out.
    for (var l = 0u; l < TERMS / 4u * 4u + zero; l += 4u) {
        let a = term(i, l);
        let b = term(i, l + 1u);
        let c = term(i, l + 2u);
        let d = term(i, l + 3u);
        sum = sum + a + b + c + d;
    }
    for (var l = TERMS / 4u * 4u; l < TERMS + zero; l++) {
        sum += term(i, l);
    }
    finish(i, sum);
}
