// Pointwise functions of all elements, which all workgroups share
for (var k = 0u; k < EACH; k++) {
    let i = local + k * THREADS;
    if i < COUNT {
        finish(i);
    }
}
