/* A process that was forked from one that used the library is refused, and the other goes on: forked RUN
 *
 * Not under valgrind, which misses the threads of the other process in this one. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hyperloom.h"

int main(int argc, char **argv) {
    hl_device *device;
    hl_model *model;
    hl_network *network;
    float x[] = {0, 1, 2}, y[] = {1, 2, 3};
    hl_task task = {x, y, 3, NULL};
    if (argc != 2 || hl_device_open("cpu", &device) || hl_model_open(argv[1], &model) ||
        hl_model_adapt(model, device, &task, NULL, &network)) {
        return 1;
    }
    pid_t forked = fork();
    if (forked == 0) {
        hl_status refused = hl_network_predict(network, device, x, 3, y, 3);
        _exit(refused == HL_STATUS_ARGUMENT && strstr(hl_error(), "forked") ? 0 : 1);
    }
    int ended;
    if (waitpid(forked, &ended, 0) != forked || !WIFEXITED(ended) || WEXITSTATUS(ended)) return 2;
    if (hl_network_predict(network, device, x, 3, y, 3)) return 3;
    hl_network_free(network);
    hl_model_free(model);
    hl_device_free(device);
    return 0;
}
