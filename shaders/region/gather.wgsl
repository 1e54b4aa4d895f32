// y[r] = table[index[r]]; an index beyond the table is clamped to its last row
for (var i = local; i < ROWS * WIDTH; i += THREADS) {
    let row = min(index_get(index_at(i / WIDTH)), TABLE - 1u);
    y_put(y_at(i / WIDTH, i % WIDTH), table_get(table_at(row, i % WIDTH)));
}
