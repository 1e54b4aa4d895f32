// A network for each of many users, made in one call and asked by several threads: users RUN USERS
//
// c++ -std=c++17 users.cpp -lhyperloom_c -o users
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "hyperloom.h"

namespace {

void check(hl_status status) {
    if (status != HL_STATUS_OK) throw std::runtime_error(hl_error());
}

// Handles that free themselves.
template <typename T, void (*free)(T *)>
struct Freed {
    void operator()(T *handle) const { free(handle); }
};
using Device = std::unique_ptr<hl_device, Freed<hl_device, hl_device_free>>;
using Model = std::unique_ptr<hl_model, Freed<hl_model, hl_model_free>>;
using Network = std::unique_ptr<hl_network, Freed<hl_network, hl_network_free>>;

Device open_device(const char *request) {
    hl_device *device = nullptr;
    check(hl_device_open(request, &device));
    return Device(device);
}

Model open_model(const char *path) {
    hl_model *model = nullptr;
    check(hl_model_open(path, &model));
    return Model(model);
}

}  // namespace

int main(int argc, char **argv) try {
    if (argc != 3) {
        std::fprintf(stderr, "users RUN USERS\n");
        return 2;
    }
    const Device device = open_device("cpu");
    const Model model = open_model(argv[1]);
    const std::size_t users = std::stoul(argv[2]), shots = 10;
    const std::size_t inputs = hl_model_inputs(model.get()), outputs = hl_model_outputs(model.get());

    // What is known of each user: here waves of different phases.
    std::vector<float> x(users * shots * inputs), y(users * shots * outputs);
    std::vector<hl_task> tasks(users);
    for (std::size_t u = 0; u < users; u++) {
        for (std::size_t i = 0; i < shots * inputs; i++) {
            x[u * shots * inputs + i] = static_cast<float>(i) - 4.5f;
        }
        for (std::size_t i = 0; i < shots * outputs; i++) {
            y[u * shots * outputs + i] = 3.0f * std::sin(static_cast<float>(i) - 4.5f + static_cast<float>(u));
        }
        tasks[u] = {x.data() + u * shots * inputs, y.data() + u * shots * outputs, shots, nullptr};
    }

    // All learn side by side.
    std::vector<hl_network *> made(users);
    check(hl_model_adapt_many(model.get(), device.get(), tasks.data(), users, nullptr, made.data()));
    std::vector<Network> networks(made.begin(), made.end());

    // Any number of threads ask them.
    std::vector<float> said(users * outputs);
    std::vector<std::string> errors(2);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 2; t++) {
        threads.emplace_back([&, t] {
            const std::vector<float> row(inputs, 0.5f);
            for (std::size_t u = t; u < users; u += 2) {
                float *mine = said.data() + u * outputs;
                if (hl_network_predict(networks[u].get(), device.get(), row.data(), 1, mine, outputs) != HL_STATUS_OK) {
                    errors[t] = hl_error();  // of this thread
                }
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    for (const std::string &error : errors) {
        if (!error.empty()) throw std::runtime_error(error);
    }
    for (float value : said) std::printf("%.9g\n", value);
    return 0;
} catch (const std::exception &e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
}
