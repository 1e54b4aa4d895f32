// Pointwise functions, one element after another
for (var i = local; i < COUNT; i += THREADS) {
    finish(i);
}
