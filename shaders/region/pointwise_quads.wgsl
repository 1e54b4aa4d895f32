// Pointwise functions, a quad after another
for (var i = 4u * local; i < COUNT; i += 4u * THREADS) {
    finish(i);
}
