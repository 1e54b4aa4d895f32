// Pointwise functions, a vector after another
for (var i = 4u * local; i < COUNT; i += 4u * THREADS) {
    finish(i);
}
