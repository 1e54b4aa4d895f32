/* What a program can get wrong: each call returns its status and a message, and makes nothing. refusals RUN NO_RUN SAVED */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hyperloom.h"

static void want(hl_status found, hl_status wanted, const char *message, int line) {
    if (found != wanted || (message && !strstr(hl_error(), message))) {
        printf("line %d: status %d instead of %d, and the message is: %s\n", line, (int)found, (int)wanted, hl_error());
        exit(1);
    }
}
#define WANT(call, status, message) want(call, HL_STATUS_##status, message, __LINE__)
#define TRUE(condition)                                       \
    if (!(condition)) {                                       \
        printf("line %d: not so: %s\n", __LINE__, #condition); \
        exit(1);                                              \
    }

int main(int argc, char **argv) {
    TRUE(argc == 4);
    TRUE(strlen(hl_version()) >= 5);
    TRUE(hl_error()[0] == 0);

    hl_device *device = (hl_device *)1;
    WANT(hl_device_open("moon", &device), SETTING, "none of auto, cpu");
    TRUE(device == NULL);
    WANT(hl_device_open(NULL, &device), ARGUMENT, "request is NULL");
    WANT(hl_device_open("\xff", &device), ARGUMENT, "no UTF-8");
    WANT(hl_device_open("cpu", NULL), ARGUMENT, "device is NULL");
    WANT(hl_device_open("cpu", &device), OK, NULL);
    TRUE(strcmp(hl_device_name(device), "cpu") == 0 && hl_device_is_gpu(device) == 0);
    TRUE(hl_device_name(NULL) == NULL && hl_device_is_gpu(NULL) == 0);

    hl_model *model;
    WANT(hl_model_open("nowhere", &model), CHECKPOINT, "no such run folder");
    WANT(hl_model_open(argv[2], &model), CHECKPOINT, "no_run");
    TRUE(model == NULL);
    WANT(hl_model_open(argv[1], &model), OK, NULL);
    TRUE(hl_model_inputs(model) == 1 && hl_model_outputs(model) == 1 && hl_model_descriptor(model) == 0);
    TRUE(hl_model_inputs(NULL) == 0);

    volatile float zero = 0;
    float x[] = {0, 1, 2}, y[] = {1, 2, 3};
    hl_task task = {x, y, 3, NULL};
    hl_network *network, *networks[3];
    WANT(hl_model_adapt(NULL, device, &task, NULL, &network), ARGUMENT, "model is NULL");
    WANT(hl_model_adapt(model, NULL, &task, NULL, &network), ARGUMENT, "device is NULL");
    WANT(hl_model_adapt(model, device, NULL, NULL, &network), ARGUMENT, "tasks is NULL");
    WANT(hl_model_adapt(model, device, &task, NULL, NULL), ARGUMENT, "networks is NULL");
    hl_adapt_options options = {0, -1};
    WANT(hl_model_adapt(model, device, &task, &options, &network), ARGUMENT, "size is 0");
    options.size = 4096;
    WANT(hl_model_adapt(model, device, &task, &options, &network), ARGUMENT, "size is 4096");
    options.size = 12;
    WANT(hl_model_adapt(model, device, &task, &options, &network), ARGUMENT, "size is 12");
    options.size = sizeof options;
    options.steps = -2;
    WANT(hl_model_adapt(model, device, &task, &options, &network), ARGUMENT, "steps is -2");
    options.steps = 2;
    hl_task nothing = {NULL, NULL, 0, NULL}, missing = {x, NULL, 3, NULL}, endless = {x, y, (size_t)-1, NULL};
    WANT(hl_model_adapt(model, device, &nothing, NULL, &network), SHAPE, "support set needs rows");
    WANT(hl_model_adapt(model, device, &missing, NULL, &network), ARGUMENT, "support_y is NULL");
    WANT(hl_model_adapt(model, device, &endless, NULL, &network), ARGUMENT, "18446744073709551615");
    float holes[] = {0, 0.0f / zero, 2};
    hl_task wrong_x = {holes, y, 3, NULL}, wrong_y = {x, holes, 3, NULL};
    WANT(hl_model_adapt(model, device, &wrong_x, NULL, &network), SHAPE, "inputs hold NaN in row 1");
    WANT(hl_model_adapt(model, device, &wrong_y, NULL, &network), SHAPE, "targets hold NaN in row 1");
    TRUE(network == NULL);
    hl_task several[] = {task, nothing, task};
    WANT(hl_model_adapt_many(model, device, several, 3, NULL, networks), SHAPE, "task 1");
    TRUE(networks[0] == NULL && networks[1] == NULL && networks[2] == NULL);
    WANT(hl_model_adapt_many(model, device, several, 0, NULL, networks), OK, NULL);
    WANT(hl_model_adapt(model, device, &task, &options, &network), OK, NULL);
    /* A program that knows the size alone gets the rest as chosen. */
    size_t size_alone = sizeof(size_t);
    hl_network *chosen;
    WANT(hl_model_adapt(model, device, &task, (const hl_adapt_options *)&size_alone, &chosen), OK, NULL);

    WANT(hl_network_predict(network, device, x, 3, y, 2), ARGUMENT, "room for 2");
    WANT(hl_network_predict(network, device, NULL, 3, y, 3), ARGUMENT, "x is NULL");
    WANT(hl_network_predict(network, device, x, (size_t)-1, y, 3), ARGUMENT, "");
    WANT(hl_network_predict(network, device, holes, 3, y, 3), SHAPE, "inputs hold NaN in row 1");
    WANT(hl_network_predict(network, device, NULL, 0, NULL, 0), OK, NULL);
    WANT(hl_network_predict(network, device, x, 3, y, 3), OK, NULL);

    const float *weights;
    size_t count, rows;
    double share, mean, std;
    WANT(hl_network_weights(network, hl_network_members(network), &weights, &count, &share), ARGUMENT, "there are");
    WANT(hl_network_weights(network, 0, &weights, &count, &share), OK, NULL);
    TRUE(count > 0 && share > 0 && weights[count - 1] == weights[count - 1]);
    WANT(hl_network_target_scale(network, &mean, NULL), ARGUMENT, "std is NULL");
    WANT(hl_network_target_scale(network, &mean, &std), OK, NULL);
    TRUE(mean == 0 && std == 1 && hl_network_class(network, 0) == NULL);

    hl_text *predicted;
    const char wrong[] = "x\n1\nmuch\n", right[] = "x\n1\n2\n";
    WANT(hl_network_predict_table(network, device, wrong, sizeof wrong - 1, &predicted), DATA, "line 3");
    WANT(hl_network_predict_table(network, device, "", 0, &predicted), DATA, "empty");
    WANT(hl_network_predict_table(network, device, NULL, 7, &predicted), ARGUMENT, "query is NULL");
    TRUE(predicted == NULL && hl_text_data(NULL) == NULL && hl_text_size(NULL) == 0);
    WANT(hl_network_predict_table(network, device, right, sizeof right - 1, &predicted), OK, NULL);
    TRUE(strlen(hl_text_data(predicted)) == hl_text_size(predicted));
    TRUE(strncmp(hl_text_data(predicted), "x,prediction\n1,", 15) == 0);
    hl_text_free(predicted);
    WANT(hl_network_encode(network, right, sizeof right - 1, x, 1, &rows), ARGUMENT, "room for 1");
    WANT(hl_network_encode(network, right, sizeof right - 1, x, 3, &rows), OK, NULL);
    TRUE(rows == 2 && x[0] == 1 && x[1] == 2);

    hl_predict_options asked = {sizeof asked, -1, 2.0};
    const char known[] = "x,y\n0,1\n1,2\n";
    WANT(hl_model_predict_table(model, device, known, sizeof known - 1, right, sizeof right - 1, &asked, &predicted),
         ARGUMENT, "interval is 2");
    asked.interval = 0.8;
    WANT(hl_model_predict_table(model, device, known, sizeof known - 1, right, sizeof right - 1, &asked, &predicted), OK,
         NULL);
    TRUE(strncmp(hl_text_data(predicted), "x,prediction,low,high\n", 22) == 0);
    hl_text_free(predicted);
    WANT(hl_model_predict_table(model, device, NULL, 0, right, sizeof right - 1, NULL, &predicted), OK, NULL);
    hl_text_free(predicted);

    WANT(hl_network_export(network, "network.txt"), SETTING, "end it in .h");
    WANT(hl_model_export(model, "model.h", 0, NULL), SHAPE, "");
    WANT(hl_network_save(network, "/no/such/folder/file"), IO, "/no/such/folder");
    WANT(hl_network_save(network, argv[3]), OK, NULL);
    hl_network *opened;
    WANT(hl_network_open(argv[2], &opened), CHECKPOINT, "no_run");
    WANT(hl_network_open(argv[3], &opened), OK, NULL);
    float again[3];
    x[2] = 2, x[0] = 0, x[1] = 1;
    WANT(hl_network_predict(opened, device, x, 3, again, 3), OK, NULL);
    TRUE(memcmp(y, again, sizeof again) == 0);

    hl_network_free(opened);
    hl_network_free(chosen);
    hl_network_free(network);
    hl_network_free(NULL);
    hl_model_free(model);
    hl_model_free(NULL);
    /* The device outlives what was made on it, or not: both are well. */
    hl_device_free(device);
    hl_device_free(NULL);
    printf("all as it should be\n");
    return 0;
}
