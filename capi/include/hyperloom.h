/* hyperloom for C and C++: load a trained model, adapt it to tasks, ask their networks.
 *
 * Handles are what the library gave; each is freed once, by the function of its kind, and NULL is refused or none. Arrays are as long as is said of them.
 * Every call but those that free a handle (which no other may go on with) may be made from any number of threads at once, on the same handles, too.
 * A process that was forked from one that used the library is refused: it lacks the threads.
 * Nothing is thrown: a call that fails returns its status, has made nothing, and hl_error() says why.
 *
 * Written by cbindgen from capi/src; a test compares both. */

#ifndef HYPERLOOM_H
#define HYPERLOOM_H

#include <stddef.h>
#include <stdint.h>

/*
 How a call ended. Of all but HL_STATUS_OK hl_error() has the message.
 */
typedef enum {
    /*
     All is well.
     */
    HL_STATUS_OK = 0,
    /*
     A pointer is NULL, a text is no UTF-8, an array has no room, or options have no size.
     */
    HL_STATUS_ARGUMENT = 1,
    /*
     A file cannot be read or written.
     */
    HL_STATUS_IO = 2,
    /*
     A table holds what cannot be used; the message names line and column.
     */
    HL_STATUS_DATA = 3,
    /*
     A setting is out of range, or does not fit another.
     */
    HL_STATUS_SETTING = 4,
    /*
     A model's file or run folder cannot be used.
     */
    HL_STATUS_CHECKPOINT = 5,
    /*
     A device is missing or lost. A lost one is opened again by hl_device_open; models and networks stay as they are.
     */
    HL_STATUS_DEVICE = 6,
    /*
     It does not fit the memory.
     */
    HL_STATUS_MEMORY = 7,
    /*
     Numbers are more or fewer than the model reads.
     */
    HL_STATUS_SHAPE = 8,
    /*
     A fault of this library: please report it with its message.
     */
    HL_STATUS_FAULT = 9,
} hl_status;

/*
 A GPU, or the CPU path. Any number of threads may use one at once.
 */
typedef struct hl_device hl_device;

/*
 A trained model: from the known rows of a task it makes the task's network. Any number of threads may use one at once.
 */
typedef struct hl_model hl_model;

/*
 The network of one task, or several whose predictions are averaged. Any number of threads may use one at once.
 */
typedef struct hl_network hl_network;

/*
 A text that the library made.
 */
typedef struct hl_text hl_text;

/*
 The known rows of a task, as numbers.
 */
typedef struct {
    /*
     Inputs, rows times hl_model_inputs.
     */
    const float *support_x;
    /*
     Targets, rows times hl_model_outputs: values in the networks' units, of classes a 1 for the class of a row, else 0.
     */
    const float *support_y;
    /*
     How many rows.
     */
    size_t rows;
    /*
     hl_model_descriptor numbers that describe the task; NULL where that is 0.
     */
    const float *descriptor;
} hl_task;

/*
 How a model adapts.
 */
typedef struct {
    /*
     sizeof(hl_adapt_options)
     */
    size_t size;
    /*
     Steps of adaptation; -1: as many as were chosen on validation tasks.
     */
    int64_t steps;
} hl_adapt_options;

/*
 How rows of a table are predicted.
 */
typedef struct {
    /*
     sizeof(hl_predict_options)
     */
    size_t size;
    /*
     Steps of adaptation; -1: as many as were chosen on validation tasks.
     */
    int64_t steps;
    /*
     Share of rows that intervals cover, .1 to .95, of values with chosen steps; 0: no intervals.
     */
    double interval;
} hl_predict_options;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The library's version, as "0.1.0".
 */
const char *hl_version(void);

/*
 Opens a device: "auto" (a GPU where there is one), "cpu", "gpu" or "gpu:N".
 */
hl_status hl_device_open(const char *request, hl_device **device);

/*
 "cpu", or the adapter's name; valid as long as the device.
 */
const char *hl_device_name(const hl_device *device);

/*
 1 of a GPU, 0 of the CPU path.
 */
int32_t hl_device_is_gpu(const hl_device *device);

/*
 Frees a device; NULL is none. What was prepared on it is freed with the models and networks that prepared it.
 */
void hl_device_free(hl_device *device);

/*
 What was wrong with the last call of this thread that failed: one line of UTF-8, valid until the next that fails. Empty where none did.
 */
const char *hl_error(void);

/*
 Opens a trained model: a run folder of `hyperloom train`, or a file that `Model::save` wrote.
 */
hl_status hl_model_open(const char *path, hl_model **model);

/*
 Numbers of a row of inputs.
 */
size_t hl_model_inputs(const hl_model *model);

/*
 Numbers of a row of targets, and of what is said of one.
 */
size_t hl_model_outputs(const hl_model *model);

/*
 Numbers that describe a task; 0 where the model reads none.
 */
size_t hl_model_descriptor(const hl_model *model);

/*
 The steps of adaptation that were chosen on validation tasks.
 */
size_t hl_model_steps(const hl_model *model);

/*
 The network of one task. With options NULL as many steps as were chosen.
 */
hl_status hl_model_adapt(const hl_model *model,
                         const hl_device *device,
                         const hl_task *task,
                         const hl_adapt_options *options,
                         hl_network **network);

/*
 The networks of many tasks, which learn side by side: far faster than one call for each. networks has room for count handles; where the call
 fails, all of them are NULL.
 */
hl_status hl_model_adapt_many(const hl_model *model,
                              const hl_device *device,
                              const hl_task *tasks,
                              size_t count,
                              const hl_adapt_options *options,
                              hl_network **networks);

/*
 The network of one task, from a table of its known rows in the data's own columns and units: CSV as `hyperloom adapt` reads it, of length bytes.
 */
hl_status hl_model_adapt_table(const hl_model *model,
                               const hl_device *device,
                               const char *csv,
                               size_t length,
                               const hl_adapt_options *options,
                               hl_network **network);

/*
 Predicts the rows of a table (query), each group by the network of its own rows in another (support; NULL: of nothing known). predicted is the
 query with columns beside its own, as `hyperloom predict` writes it.
 */
hl_status hl_model_predict_table(const hl_model *model,
                                 const hl_device *device,
                                 const char *support,
                                 size_t support_length,
                                 const char *query,
                                 size_t query_length,
                                 const hl_predict_options *options,
                                 hl_text **predicted);

/*
 Writes the whole model as a program for others, which makes networks of up to support_rows rows: a header of C99 (.h), a Rust module (.rs) or an ONNX file (.onnx), by the
 path's ending. Steps as in hl_adapt_options.
 */
hl_status hl_model_export(const hl_model *model,
                          const char *path,
                          size_t support_rows,
                          const hl_adapt_options *options);

/*
 Frees a model; NULL is none. Networks that it made stay.
 */
void hl_model_free(hl_model *model);

/*
 Opens a network that hl_network_save or `hyperloom adapt` wrote.
 */
hl_status hl_network_open(const char *path, hl_network **network);

/*
 Writes a network to a file (safetensors), whole or not at all.
 */
hl_status hl_network_save(const hl_network *network, const char *path);

/*
 Numbers of a row of inputs.
 */
size_t hl_network_inputs(const hl_network *network);

/*
 Numbers that are said of a row.
 */
size_t hl_network_outputs(const hl_network *network);

/*
 The name of a class, where classes are told apart and have names; else NULL. Valid as long as the network.
 */
const char *hl_network_class(const hl_network *network, size_t index);

/*
 What brings a predicted value back to the target's own units: mean + std * value.
 */
hl_status hl_network_target_scale(const hl_network *network, double *mean, double *std);

/*
 What the network says of rows x, rows times hl_network_inputs numbers: y gets rows times hl_network_outputs, values in the networks' units or logarithms
 of class probabilities. y_length: numbers that y has room for.
 */
hl_status hl_network_predict(const hl_network *network,
                             const hl_device *device,
                             const float *x,
                             size_t rows,
                             float *y,
                             size_t y_length);

/*
 Predicts the rows of a table in the data's own columns and units: CSV of length bytes. predicted is the table with columns beside its own, as
 `hyperloom predict` writes it.
 */
hl_status hl_network_predict_table(const hl_network *network,
                                   const hl_device *device,
                                   const char *csv,
                                   size_t length,
                                   hl_text **predicted);

/*
 The rows of a table as the numbers that the network reads, so that they can be kept and asked about by hl_network_predict. rows gets their number; x has room for x_length numbers (NULL: only
 rows is asked for).
 */
hl_status hl_network_encode(const hl_network *network,
                            const char *csv,
                            size_t length,
                            float *x,
                            size_t x_length,
                            size_t *rows);

/*
 How many networks there are, whose predictions are averaged.
 */
size_t hl_network_members(const hl_network *network);

/*
 The weights of one of them, count numbers that stay the network's and are valid as long as it, and its share in what is said. Shares sum to one.
 */
hl_status hl_network_weights(const hl_network *network,
                             size_t member,
                             const float **weights,
                             size_t *count,
                             double *share);

/*
 Writes a network as a program for others: a header of C99 (.h), a Rust module (.rs) or an ONNX file (.onnx), by the path's ending.
 */
hl_status hl_network_export(const hl_network *network,
                            const char *path);

/*
 Frees a network; NULL is none.
 */
void hl_network_free(hl_network *network);

/*
 The text, UTF-8 with a zero byte behind it; valid until it is freed.
 */
const char *hl_text_data(const hl_text *text);

/*
 Its bytes, without the zero.
 */
size_t hl_text_size(const hl_text *text);

/*
 Frees a text; NULL is none.
 */
void hl_text_free(hl_text *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HYPERLOOM_H */
