// y = f(..), a quad after another
for (var i = 4u * local; i < COUNT; i += 4u * THREADS) {
    y_put_quad(y_at(i), value(i));
}
