/* Adapts a trained model to a task and predicts rows of it: adapt RUN KNOWN.csv ASKED.csv
 *
 * cc -std=c99 adapt.c -lhyperloom_c -o adapt */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyperloom.h"

/* Ends the program where a call failed. */
static void check(hl_status status) {
    if (status != HL_STATUS_OK) {
        fprintf(stderr, "error %d: %s\n", (int)status, hl_error());
        exit(1);
    }
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    size_t room = 1 << 16;
    char *text = malloc(room);
    *size = 0;
    if (!file || !text) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    for (size_t n; (n = fread(text + *size, 1, room - *size, file)) > 0;) {
        *size += n;
        if (*size == room && !(text = realloc(text, room *= 2))) exit(1);
    }
    fclose(file);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "adapt RUN KNOWN.csv ASKED.csv\n");
        return 2;
    }
    hl_device *device;
    hl_model *model;
    check(hl_device_open("cpu", &device));
    check(hl_model_open(argv[1], &model));

    /* What is known of the task becomes a network. */
    size_t size;
    hl_network *network;
    char *known = read_file(argv[2], &size);
    check(hl_model_adapt_table(model, device, known, size, NULL, &network));

    /* It says the rows of a table, with a column 'prediction' in the target's own units. */
    hl_text *predicted;
    char *asked = read_file(argv[3], &size);
    check(hl_network_predict_table(network, device, asked, size, &predicted));
    printf("%s", hl_text_data(predicted));

    /* Or rows of numbers, kept and asked about as often as wanted. */
    size_t rows, inputs = hl_network_inputs(network), outputs = hl_network_outputs(network);
    check(hl_network_encode(network, asked, size, NULL, 0, &rows));
    float *x = malloc(rows * inputs * sizeof *x), *y = malloc(rows * outputs * sizeof *y);
    check(hl_network_encode(network, asked, size, x, rows * inputs, &rows));
    check(hl_network_predict(network, device, x, rows, y, rows * outputs));
    double mean, std;
    check(hl_network_target_scale(network, &mean, &std));
    printf("the first once more: %g\n", mean + std * (double)y[0]);

    free(x);
    free(y);
    free(known);
    free(asked);
    hl_text_free(predicted);
    hl_network_free(network);
    hl_model_free(model);
    hl_device_free(device);
    return 0;
}
