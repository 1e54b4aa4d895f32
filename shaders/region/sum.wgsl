// y = Σ a or Σ a·b: each sum by one thread, in order
for (var i = local; i < COUNT; i += THREADS) {
    var sum = 0.0;
    for (var l = 0u; l < TERMS + zero; l++) {
        sum += term(i, l);
    }
    finish(i, sum);
}
