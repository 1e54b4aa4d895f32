// y = f(..), one element after another
for (var i = local; i < COUNT; i += THREADS) {
    y_put(y_at(i), value(i));
}
